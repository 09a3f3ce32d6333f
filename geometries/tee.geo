// Tee: a bar between two contacts, and a stem at whose end something is fed in.
//
//          y
//          ^             edges
//          |-----------------------------------   ... width
//   left   |              metal               | right
//          |------------.       .--------------   ... 0      fillet in both corners
//                       |       |
//                       |       |
//                       '-------'                 ... -stem_length
//                       injector
//          |            |-- x = 0 --|
//
// Parameters (lengths in the unit that the case file states)
//   width        of the bar                                  width > 0
//   length       of the bar, from contact to contact         length > stem_width + 2 fillet
//   stem_width   width of the stem                           stem_width > 0
//   stem_length  length of the stem, with the fillet         stem_length > fillet
//   fillet       radius of the two re-entrant corners        fillet >= 0, 0 for sharp ones
// Groups
//   metal     the surface
//   left      contact at x = -length/2      right  contact at x = length/2
//   injector  end of the stem
//   edges     all other walls

SetFactory("OpenCASCADE");

DefineConstant[ width       = {20, Name "Parameters/width"} ];        // of the bar
DefineConstant[ length      = {160, Name "Parameters/length"} ];      // of the bar
DefineConstant[ stem_width  = {20, Name "Parameters/stem_width"} ];   // width of the stem
DefineConstant[ stem_length = {20, Name "Parameters/stem_length"} ];  // length of the stem
DefineConstant[ fillet      = {4, Name "Parameters/fillet"} ];        // radius of the corners

// Error reports to whoever reads the file; Abort keeps Gmsh's own window from going on.
If (width <= 0)
  Error("tee.geo: width = %g is not permitted: width > 0", width);
  Abort;
EndIf
If (stem_width <= 0)
  Error("tee.geo: stem_width = %g is not permitted: stem_width > 0", stem_width);
  Abort;
EndIf
If (fillet < 0)
  Error("tee.geo: fillet = %g is not permitted: fillet >= 0", fillet);
  Abort;
EndIf
If (length <= stem_width + 2 * fillet)
  Error("tee.geo: length = %g is not permitted: length > stem_width + 2 fillet", length);
  Abort;
EndIf
If (stem_length <= fillet)
  Error("tee.geo: stem_length = %g is not permitted: stem_length > fillet", stem_length);
  Abort;
EndIf

a = stem_width / 2;
Point(1) = {-length / 2, 0, 0};
Point(2) = {-a - fillet, 0, 0};
Point(4) = {-a, -stem_length, 0};
Point(5) = {a, -stem_length, 0};
Point(7) = {a + fillet, 0, 0};
Point(8) = {length / 2, 0, 0};
Point(9) = {length / 2, width, 0};
Point(10) = {-length / 2, width, 0};
Line(1) = {1, 2};
Line(4) = {4, 5};
Line(7) = {7, 8};
Line(8) = {8, 9};
Line(9) = {9, 10};
Line(10) = {10, 1};
edges[] = {1, 3, 5, 7, 9};
If (fillet > 0)
  Point(3) = {-a, -fillet, 0};
  Point(6) = {a, -fillet, 0};
  Line(3) = {3, 4};
  Line(5) = {5, 6};
  Point(11) = {-a - fillet, -fillet, 0};
  Point(12) = {a + fillet, -fillet, 0};
  Circle(2) = {2, 11, 3};
  Circle(6) = {6, 12, 7};
  Delete { Point{11, 12}; }
  edges[] += {2, 6};
  Curve Loop(1) = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
Else
  Line(3) = {2, 4};
  Line(5) = {5, 7};
  Curve Loop(1) = {1, 3, 4, 5, 7, 8, 9, 10};
EndIf
Plane Surface(1) = {1};

Physical Surface("metal") = {1};
Physical Curve("left") = {10};
Physical Curve("right") = {8};
Physical Curve("injector") = {4};
Physical Curve("edges") = {edges[]};

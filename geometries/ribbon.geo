// Ribbon: a straight strip between two contacts.
//
//          y
//          ^              edges
//          |---------------------------------- ...  width/2
//   source |              metal              | drain
//          0- - - - - - - - - - - - - - - - - - - -> x
//          |                                 |
//          |---------------------------------- ... -width/2
//          0              edges            length
//
// Parameters (lengths in the unit that the case file states)
//   width    distance of the two walls             width > 0
//   length   distance of the two contacts          length > 0
// Groups
//   metal    the surface
//   source   contact at x = 0        drain   contact at x = length
//   edges    the two long walls

SetFactory("OpenCASCADE");

DefineConstant[ width  = {100, Name "Parameters/width"} ];   // distance of the walls
DefineConstant[ length = {400, Name "Parameters/length"} ];  // distance of the contacts

// Error reports to whoever reads the file; Abort keeps Gmsh's own window from going on.
If (width <= 0)
  Error("ribbon.geo: width = %g is not permitted: width > 0", width);
  Abort;
EndIf
If (length <= 0)
  Error("ribbon.geo: length = %g is not permitted: length > 0", length);
  Abort;
EndIf

Point(1) = {0, -width / 2, 0};
Point(2) = {length, -width / 2, 0};
Point(3) = {length, width / 2, 0};
Point(4) = {0, width / 2, 0};

Line(1) = {1, 2};
Line(2) = {2, 3};
Line(3) = {3, 4};
Line(4) = {4, 1};

Curve Loop(1) = {1, 2, 3, 4};
Plane Surface(1) = {1};

Physical Surface("metal") = {1};
Physical Curve("source") = {4};
Physical Curve("drain") = {2};
Physical Curve("edges") = {1, 3};

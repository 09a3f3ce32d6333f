// Bilayer: two metals side by side between two contacts, the section of a film of two layers or a
// strip of two materials.
//
//          y
//          ^              top
//          |----------------------------------. lower + upper
//          |              upper              |
//   source |- - - - - - - - - - - - - - - - -| drain
//          |              lower              |
//          0----------------------------------'-> x
//          0              bottom            length
//
// Parameters (lengths in the unit that the case file states)
//   lower    thickness of the lower layer          lower > 0
//   upper    thickness of the upper layer          upper > 0
//   length   distance of the two contacts          length > 0
// Groups
//   lower, upper  the two layers
//   source        contact at x = 0      drain   contact at x = length
//   bottom, top   the walls

SetFactory("OpenCASCADE");

DefineConstant[ lower  = {10, Name "Parameters/lower"} ];    // thickness of the lower layer
DefineConstant[ upper  = {10, Name "Parameters/upper"} ];    // thickness of the upper layer
DefineConstant[ length = {100, Name "Parameters/length"} ];  // distance of the contacts

// Error reports to whoever reads the file; Abort keeps Gmsh's own window from going on.
If (lower <= 0)
  Error("bilayer.geo: lower = %g is not permitted: lower > 0", lower);
  Abort;
EndIf
If (upper <= 0)
  Error("bilayer.geo: upper = %g is not permitted: upper > 0", upper);
  Abort;
EndIf
If (length <= 0)
  Error("bilayer.geo: length = %g is not permitted: length > 0", length);
  Abort;
EndIf

Point(1) = {0, 0, 0};
Point(2) = {length, 0, 0};
Point(3) = {length, lower, 0};
Point(4) = {0, lower, 0};
Point(5) = {length, lower + upper, 0};
Point(6) = {0, lower + upper, 0};

Line(1) = {1, 2};
Line(2) = {2, 3};
Line(3) = {3, 4};
Line(4) = {4, 1};
Line(5) = {3, 5};
Line(6) = {5, 6};
Line(7) = {6, 4};

Curve Loop(1) = {1, 2, 3, 4};
Plane Surface(1) = {1};
Curve Loop(2) = {-3, 5, 6, 7};
Plane Surface(2) = {2};

Physical Surface("lower") = {1};
Physical Surface("upper") = {2};
Physical Curve("source") = {4, 7};
Physical Curve("drain") = {2, 5};
Physical Curve("bottom") = {1};
Physical Curve("top") = {6};

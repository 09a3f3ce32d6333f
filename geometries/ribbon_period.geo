// One period of a ribbon, with flat cells at its walls.
//
// Parameters (lengths in the unit that the case file states)
//   width    distance of the two walls             width > 0
//   length   the period                            length > 0
//   cells    cells across the ribbon               cells > 2
// Groups
//   metal    the surface
//   source, drain   the ends, x = 0 and x = length: a periodic pair
//   edges    the two walls
DefineConstant[ width  = {100, Name "Parameters/width"} ];
DefineConstant[ length = {10, Name "Parameters/length"} ];
DefineConstant[ cells  = {40, Name "Parameters/cells"} ];

// Error reports to whoever reads the file; Abort keeps Gmsh's own window from going on.
If (width <= 0)
  Error("ribbon_period.geo: width = %g is not permitted: width > 0", width);
  Abort;
EndIf
If (length <= 0)
  Error("ribbon_period.geo: length = %g is not permitted: length > 0", length);
  Abort;
EndIf
If (cells <= 2)
  Error("ribbon_period.geo: cells = %g is not permitted: cells > 2", cells);
  Abort;
EndIf

SetFactory("OpenCASCADE");
Point(1) = {0, -width / 2, 0};
Point(2) = {length, -width / 2, 0};
Point(3) = {length, width / 2, 0};
Point(4) = {0, width / 2, 0};
Line(1) = {1, 2};
Line(2) = {2, 3};
Line(3) = {4, 3};
Line(4) = {1, 4};
Curve Loop(1) = {1, 2, -3, -4};
Plane Surface(1) = {1};
Periodic Curve {2} = {4} Translate {length, 0, 0};
Transfinite Curve {1, 3} = 2;
Transfinite Curve {2, 4} = cells Using Bump 0.02;
Transfinite Surface {1};
Physical Surface("metal") = {1};
Physical Curve("source") = {4};
Physical Curve("drain") = {2};
Physical Curve("edges") = {1, 3};

// Antidot lattice: one cell of a square or rectangular lattice of round holes.
//
//          y
//          ^          top
//          |---------------------.  height
//          |        .---.        |
//          |       /     \       |
//     left |      ( edge  )      | right
//          |       \     /       |
//          |        '---'  metal |
//          0---------------------'-> x
//          0        bottom       width
//
// Parameters (lengths in the unit that the case file states)
//   width   of the cell: the period along x    width > 0
//   height  of the cell: the period along y    height > 0
//   radius  of the hole                        0 < radius < width/2, height/2
// Groups
//   metal        the surface
//   left, right  a periodic pair             bottom, top  another one
//   edge         the wall of the hole
// The meshes of the two sides of a pair are the same but for the translation.

SetFactory("OpenCASCADE");

DefineConstant[ width  = {200, Name "Parameters/width"} ];   // period along x
DefineConstant[ height = {200, Name "Parameters/height"} ];  // period along y
DefineConstant[ radius = {50, Name "Parameters/radius"} ];   // of the hole

// Error reports to whoever reads the file; Abort keeps Gmsh's own window from going on.
If (width <= 0)
  Error("antidot.geo: width = %g is not permitted: width > 0", width);
  Abort;
EndIf
If (height <= 0)
  Error("antidot.geo: height = %g is not permitted: height > 0", height);
  Abort;
EndIf
If (radius <= 0 || 2 * radius >= width || 2 * radius >= height)
  Error("antidot.geo: radius = %g is not permitted: 0 < radius < width/2 = %g, height/2 = %g",
        radius, width / 2, height / 2);
  Abort;
EndIf

Point(1) = {0, 0, 0};
Point(2) = {width, 0, 0};
Point(3) = {width, height, 0};
Point(4) = {0, height, 0};
Line(1) = {1, 2};
Line(2) = {2, 3};
Line(3) = {4, 3};
Line(4) = {1, 4};
Circle(5) = {width / 2, height / 2, 0, radius, 0, 2 * Pi};
Curve Loop(1) = {1, 2, -3, -4};
Curve Loop(2) = {5};
Plane Surface(1) = {1, 2};
Periodic Curve {2} = {4} Translate {width, 0, 0};
Periodic Curve {3} = {1} Translate {0, height, 0};

Physical Surface("metal") = {1};
Physical Curve("left") = {4};
Physical Curve("right") = {2};
Physical Curve("bottom") = {1};
Physical Curve("top") = {3};
Physical Curve("edge") = {5};

// Corbino disc: a full ring between an inner and an outer contact; it has no walls.
//
//               . - ~ - .
//           . '    drain  ' .
//          /                 \
//         |     . - ~ - .     |
//         |    /  source \    |
//         |   |     0- - -|- -|-> x
//         |    \         /|   |
//         |     ' - _ - ' |   outer_radius
//          \    metal     inner_radius
//           ' .           . '
//               ' - _ - '
//
// Parameters (lengths in the unit that the case file states)
//   inner_radius   radius of the inner contact           inner_radius > 0
//   outer_radius   radius of the outer contact           outer_radius > inner_radius
// Groups
//   metal    the surface
//   source   contact at inner_radius    drain   contact at outer_radius

SetFactory("OpenCASCADE");

DefineConstant[ inner_radius = {50, Name "Parameters/inner_radius"} ];   // radius of the inner contact
DefineConstant[ outer_radius = {200, Name "Parameters/outer_radius"} ];  // radius of the outer contact

// Error reports to whoever reads the file; Abort keeps Gmsh's own window from going on.
If (inner_radius <= 0)
  Error("corbino.geo: inner_radius = %g is not permitted: inner_radius > 0", inner_radius);
  Abort;
EndIf
If (outer_radius <= inner_radius)
  Error("corbino.geo: outer_radius = %g is not permitted: outer_radius > inner_radius = %g",
        outer_radius, inner_radius);
  Abort;
EndIf

// An arc through its centre must stay below 180 degrees: quarters.
ex[] = {1, 0, -1, 0};
ey[] = {0, 1, 0, -1};
centre = newp;
Point(centre) = {0, 0, 0};
p_inner[] = {};
p_outer[] = {};
For k In {0:3}
  p = newp; Point(p) = {inner_radius * ex[k], inner_radius * ey[k], 0}; p_inner[] += p;
  p = newp; Point(p) = {outer_radius * ex[k], outer_radius * ey[k], 0}; p_outer[] += p;
EndFor

source[] = {};
drain[] = {};
For k In {0:3}
  c = newc; Circle(c) = {p_inner[k], centre, p_inner[(k + 1) % 4]}; source[] += c;
  c = newc; Circle(c) = {p_outer[k], centre, p_outer[(k + 1) % 4]}; drain[] += c;
EndFor

Curve Loop(1) = {drain[]};
Curve Loop(2) = {source[]};
Plane Surface(1) = {1, 2};

Delete { Point{centre}; }  // has served the arcs

Physical Surface("metal") = {1};
Physical Curve("source") = {source[]};
Physical Curve("drain") = {drain[]};

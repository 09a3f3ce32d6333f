// Annulus: a circular bend between two radial contacts.
//
//          y
//          ^  drain (angle = 90)
//          |-------.
//          |         ' .
//          |   metal     `.  outer
//          |--.             \
//              `. inner      \
//                \            |
//          0- - - |-----------|- -> x
//          inner_radius     outer_radius
//                    source
//
// Parameters (lengths in the unit that the case file states)
//   inner_radius   radius of the inner wall              inner_radius > 0
//   outer_radius   radius of the outer wall              outer_radius > inner_radius
//   angle          from source to drain, degrees         0 < angle < 360
// Groups
//   metal    the surface
//   source   radial contact on the positive x axis
//   drain    radial contact, turned by angle (counter-clockwise)
//   inner    wall at inner_radius    outer   wall at outer_radius

SetFactory("OpenCASCADE");

DefineConstant[ inner_radius = {100, Name "Parameters/inner_radius"} ];  // radius of the inner wall
DefineConstant[ outer_radius = {200, Name "Parameters/outer_radius"} ];  // radius of the outer wall
DefineConstant[ angle        = {90, Name "Parameters/angle"} ];          // from source to drain, degrees

// Error reports to whoever reads the file; Abort keeps Gmsh's own window from going on.
If (inner_radius <= 0)
  Error("annulus.geo: inner_radius = %g is not permitted: inner_radius > 0", inner_radius);
  Abort;
EndIf
If (outer_radius <= inner_radius)
  Error("annulus.geo: outer_radius = %g is not permitted: outer_radius > inner_radius = %g",
        outer_radius, inner_radius);
  Abort;
EndIf
If (angle <= 0 || angle >= 360)
  Error("annulus.geo: angle = %g is not permitted: 0 < angle < 360 (degrees; a full ring is corbino.geo)",
        angle);
  Abort;
EndIf

// An arc through its centre must stay below 180 degrees: as few equal ones of at most 90 as will do.
pieces = Ceil(angle / 90);
centre = newp;
Point(centre) = {0, 0, 0};
p_inner[] = {};
p_outer[] = {};
For k In {0:pieces}
  phi = angle * k / pieces * Pi / 180;
  p = newp; Point(p) = {inner_radius * Cos(phi), inner_radius * Sin(phi), 0}; p_inner[] += p;
  p = newp; Point(p) = {outer_radius * Cos(phi), outer_radius * Sin(phi), 0}; p_outer[] += p;
EndFor

inner[] = {};
outer[] = {};
For k In {0:pieces - 1}
  c = newc; Circle(c) = {p_outer[k], centre, p_outer[k + 1]}; outer[] += c;
EndFor
For k In {pieces:1:-1}
  c = newc; Circle(c) = {p_inner[k], centre, p_inner[k - 1]}; inner[] += c;
EndFor
source = newc; Line(source) = {p_inner[0], p_outer[0]};
drain = newc; Line(drain) = {p_outer[pieces], p_inner[pieces]};

Curve Loop(1) = {source, outer[], drain, inner[]};
Plane Surface(1) = {1};

Delete { Point{centre}; }  // has served the arcs

Physical Surface("metal") = {1};
Physical Curve("source") = {source};
Physical Curve("drain") = {drain};
Physical Curve("inner") = {inner[]};
Physical Curve("outer") = {outer[]};

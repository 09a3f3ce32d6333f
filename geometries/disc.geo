// Van der Pauw's disc: four contacts at its rim, a quarter of a turn apart.
//
//                contact2
//              . - ~~~~ - .
//          . '              ' .
//    rim  /                    \ rim
//        |         ^ y          |
//   contact3       0--> x       | contact1     2 half_width seen from the centre
//        |        metal         |
//    rim  \                    / rim
//          ' .              . '
//              ' - ____ - '
//                contact4
//
// Parameters
//   radius       of the disc, in the unit that the case file states    radius > 0
//   half_width   of the contacts, an angle in radians                  0 < half_width < Pi/4
// Groups
//   metal                                    the surface
//   contact1, contact2, contact3, contact4   contacts at 0, 90, 180 and 270 degrees
//   rim                                      the arcs between them, walls

SetFactory("OpenCASCADE");

DefineConstant[ radius     = {300, Name "Parameters/radius"} ];       // of the disc
DefineConstant[ half_width = {0.2, Name "Parameters/half_width"} ];   // of the contacts, radians

// Error reports to whoever reads the file; Abort keeps Gmsh's own window from going on.
If (radius <= 0)
  Error("disc.geo: radius = %g is not permitted: radius > 0", radius);
  Abort;
EndIf
If (half_width <= 0 || half_width >= Pi / 4)
  Error("disc.geo: half_width = %g is not permitted: 0 < half_width < Pi/4 = %g", half_width, Pi / 4);
  Abort;
EndIf

centre = newp;
Point(centre) = {0, 0, 0};
starts[] = {};
ends[] = {};
For k In {0:3}
  p = newp; Point(p) = {radius * Cos(k * Pi / 2 - half_width), radius * Sin(k * Pi / 2 - half_width), 0}; starts[] += p;
  p = newp; Point(p) = {radius * Cos(k * Pi / 2 + half_width), radius * Sin(k * Pi / 2 + half_width), 0}; ends[] += p;
EndFor

contacts[] = {};
rim[] = {};
boundary[] = {};
For k In {0:3}
  c = newc; Circle(c) = {starts[k], centre, ends[k]}; contacts[] += c; boundary[] += c;
  c = newc; Circle(c) = {ends[k], centre, starts[(k + 1) % 4]}; rim[] += c; boundary[] += c;
EndFor

Curve Loop(1) = {boundary[]};
Plane Surface(1) = {1};

Delete { Point{centre}; }  // has served the arcs

Physical Surface("metal") = {1};
Physical Curve("contact1") = {contacts[0]};
Physical Curve("contact2") = {contacts[1]};
Physical Curve("contact3") = {contacts[2]};
Physical Curve("contact4") = {contacts[3]};
Physical Curve("rim") = {rim[]};

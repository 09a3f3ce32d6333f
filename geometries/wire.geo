// Wire: a round wire between two contacts.
//
//          r
//          ^              surface
//          |----------------------------------.   radius
//   source |              metal               | drain
//          0- - - - - - - - - - - - - - - - - -> x
//          |                                  |
//          |----------------------------------'
//          0                                  length
//
// Parameters (lengths in the unit that the case file states)
//   length  distance of the two contacts, along x   length > 0
//   radius  of the section                          radius > 0
// Groups
//   metal    the volume
//   source   contact at x = 0        drain   contact at x = length
//   surface  the round wall
// The meshes of source and drain are the same but for the translation: they can be a periodic pair.

SetFactory("OpenCASCADE");

DefineConstant[ length = {200, Name "Parameters/length"} ];  // distance of the contacts
DefineConstant[ radius = {20, Name "Parameters/radius"} ];   // of the section

// Error reports to whoever reads the file; Abort keeps Gmsh's own window from going on.
If (length <= 0)
  Error("wire.geo: length = %g is not permitted: length > 0", length);
  Abort;
EndIf
If (radius <= 0)
  Error("wire.geo: radius = %g is not permitted: radius > 0", radius);
  Abort;
EndIf

// The section, drawn in the plane x = 0, pulled along x: its own surface, the far end, the wall.
Circle(1) = {0, 0, 0, radius, 0, 2 * Pi};
Rotate { {0, 1, 0}, {0, 0, 0}, Pi / 2 } { Curve{1}; }
Curve Loop(1) = {1};
Plane Surface(1) = {1};
wire[] = Extrude {length, 0, 0} { Surface{1}; };
Periodic Surface {wire[0]} = {1} Translate {length, 0, 0};

Physical Volume("metal") = {wire[1]};
Physical Surface("source") = {1};
Physical Surface("drain") = {wire[0]};
Physical Surface("surface") = {wire[2]};

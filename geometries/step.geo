// Step: a film that becomes thinner, narrower, or both, half way between its contacts.
//
//          z                                           y
//          ^      surfaces                             ^     sides
//          |-----------------.      thickness          |-----------------.      width/2
//          |                 | <- step                 |                 | <- step
//          |                 '-----------. thickness2  |                 '-----------. width2/2
//   source |                             |             0- - - - - - - - - - - - - - -| drain -> x
//          |        metal                | drain       |                 .-----------'
//          |                             |             |                 |
//          0-----------------------------'-> x         |-----------------'     -width/2
//          0               length/2      length        0               length/2      length
//
// Parameters (lengths in the unit that the case file states)
//   length      distance of the two contacts, along x     length > 0
//   width       along y, of the first half                width > 0
//   width2      of the second half                        0 < width2 <= width
//   thickness   along z, of the first half                thickness > 0
//   thickness2  of the second half                        0 < thickness2 <= thickness
//               (width2 and thickness2 not both those of the first half)
// Groups
//   metal      the volume
//   source     contact at x = 0          drain  contact at x = length
//   surfaces   top and bottom            sides  the walls along y = const
//   step       the wall between the halves, in the plane x = length/2

SetFactory("OpenCASCADE");

DefineConstant[ length     = {200, Name "Parameters/length"} ];     // distance of the contacts
DefineConstant[ width      = {60, Name "Parameters/width"} ];       // of the first half
DefineConstant[ width2     = {60, Name "Parameters/width2"} ];      // of the second half
DefineConstant[ thickness  = {40, Name "Parameters/thickness"} ];   // of the first half
DefineConstant[ thickness2 = {20, Name "Parameters/thickness2"} ];  // of the second half

// Error reports to whoever reads the file; Abort keeps Gmsh's own window from going on.
If (length <= 0)
  Error("step.geo: length = %g is not permitted: length > 0", length);
  Abort;
EndIf
If (width <= 0)
  Error("step.geo: width = %g is not permitted: width > 0", width);
  Abort;
EndIf
If (thickness <= 0)
  Error("step.geo: thickness = %g is not permitted: thickness > 0", thickness);
  Abort;
EndIf
If (width2 <= 0 || width2 > width)
  Error("step.geo: width2 = %g is not permitted: 0 < width2 <= width = %g", width2, width);
  Abort;
EndIf
If (thickness2 <= 0 || thickness2 > thickness)
  Error("step.geo: thickness2 = %g is not permitted: 0 < thickness2 <= thickness = %g",
        thickness2, thickness);
  Abort;
EndIf
If (width2 == width && thickness2 == thickness)
  Error("step.geo: thickness2 = %g is not permitted: there is no step; use film.geo", thickness2);
  Abort;
EndIf

// The plan in the plane z = 0, with corners where the film changes; two boxes, joined.
Box(1) = {0, -width / 2, 0, length / 2, width, thickness};
Box(2) = {length / 2, -width2 / 2, 0, length / 2, width2, thickness2};
BooleanUnion(3) = { Volume{1}; Delete; }{ Volume{2}; Delete; };

// Its surfaces by where they are; e is small against every length that matters.
e = 1e-6 * length;
source[] = Surface In BoundingBox{-e, -width, -e, e, width, thickness + e};
drain[] = Surface In BoundingBox{length - e, -width, -e, length + e, width, thickness + e};
step[] = Surface In BoundingBox{length / 2 - e, -width, -e, length / 2 + e, width, thickness + e};
surfaces[] = Surface In BoundingBox{-e, -width, -e, length + e, width, e};
surfaces[] += Surface In BoundingBox{-e, -width, thickness - e, length + e, width, thickness + e};
surfaces[] += Surface In BoundingBox{-e, -width, thickness2 - e, length + e, width, thickness2 + e};
sides[] = Surface In BoundingBox{-e, -width, -e, length + e, -width2 / 2 + e, thickness + e};
sides[] += Surface In BoundingBox{-e, width2 / 2 - e, -e, length + e, width, thickness + e};
surfaces[] = Unique(surfaces[]);
sides[] = Unique(sides[]);
sides[] -= step[];

Physical Volume("metal") = {3};
Physical Surface("source") = {source[]};
Physical Surface("drain") = {drain[]};
Physical Surface("surfaces") = {surfaces[]};
Physical Surface("sides") = {sides[]};
Physical Surface("step") = {step[]};

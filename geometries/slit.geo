// Slit: two leads joined through a slit in a thin screen across a strip.
//
//          y
//          ^      sides   screen   sides
//          |----------------. .---------------- ...  width/2
//          |                | |               |
//          |                | |               |
//   source |                '-'  ...          | drain
//          0- - - - metal - - - - opening - - - -> x
//          |                .-.  ...          |
//          |                | |               |
//          |                | |               |
//          |----------------' '---------------- ... -width/2
//          0              length/2         length
//
// Parameters (lengths in the unit that the case file states)
//   width      width of the strip                      width > 0
//   length     distance of the two contacts            length > thickness
//   opening    width of the slit, in the middle        0 < opening < width
//   thickness  of the screen; its corners are sharp    thickness > 0
// Groups
//   metal    the surface
//   source   contact at x = 0        drain   contact at x = length
//   screen   both sides of the screen and the two ends at the slit
//   sides    the walls of the strip

SetFactory("OpenCASCADE");

DefineConstant[ width     = {1000, Name "Parameters/width"} ];    // width of the strip
DefineConstant[ length    = {1000, Name "Parameters/length"} ];   // distance of the contacts
DefineConstant[ opening   = {100, Name "Parameters/opening"} ];   // width of the slit
DefineConstant[ thickness = {20, Name "Parameters/thickness"} ];   // of the screen

// Error reports to whoever reads the file; Abort keeps Gmsh's own window from going on.
If (width <= 0)
  Error("slit.geo: width = %g is not permitted: width > 0", width);
  Abort;
EndIf
If (opening <= 0 || opening >= width)
  Error("slit.geo: opening = %g is not permitted: 0 < opening < width = %g", opening, width);
  Abort;
EndIf
If (thickness <= 0)
  Error("slit.geo: thickness = %g is not permitted: thickness > 0", thickness);
  Abort;
EndIf
If (length <= thickness)
  Error("slit.geo: length = %g is not permitted: length > thickness = %g", length, thickness);
  Abort;
EndIf

// In order, as Curve Loop wants them: from the lower left corner to the right, round the lower
// half of the screen, and back along the upper wall.
before = (length - thickness) / 2;
after = (length + thickness) / 2;
Point(1) = {0, -width / 2, 0};
Point(2) = {before, -width / 2, 0};
Point(3) = {before, -opening / 2, 0};
Point(4) = {after, -opening / 2, 0};
Point(5) = {after, -width / 2, 0};
Point(6) = {length, -width / 2, 0};
Point(7) = {length, width / 2, 0};
Point(8) = {after, width / 2, 0};
Point(9) = {after, opening / 2, 0};
Point(10) = {before, opening / 2, 0};
Point(11) = {before, width / 2, 0};
Point(12) = {0, width / 2, 0};
For k In {1:11}
  Line(k) = {k, k + 1};
EndFor
Line(12) = {12, 1};

Curve Loop(1) = {1:12};
Plane Surface(1) = {1};

Physical Surface("metal") = {1};
Physical Curve("source") = {12};
Physical Curve("drain") = {6};
Physical Curve("screen") = {2, 3, 4, 8, 9, 10};
Physical Curve("sides") = {1, 5, 7, 11};

// Step channel: a channel that becomes narrower at a sharp step in its lower wall.
//
//          y
//          ^               walls
//   height |------------------------------------.
//          |                                    |
//   source |     metal                          | drain
//          |                   .----------------'  step
//          |                   | <- sharp re-entrant corner
//          0-------------------'- - - - - - - - - - > x
//          0               length/2           length
//
// Parameters (lengths in the unit that the case file states)
//   height  of the wide part                   height > 0
//   step    height of the step                 0 < step < height
//   length  distance of the two contacts       length > 0
// Groups
//   metal    the surface
//   source   contact at x = 0        drain   contact at x = length
//   walls    all walls

SetFactory("OpenCASCADE");

DefineConstant[ height = {100, Name "Parameters/height"} ];  // of the wide part
DefineConstant[ step   = {50, Name "Parameters/step"} ];     // height of the step
DefineConstant[ length = {300, Name "Parameters/length"} ];  // distance of the contacts

If (height <= 0)
  Error("step_channel.geo: height = %g is not permitted: height > 0", height);
  Abort;
EndIf
If (step <= 0 || step >= height)
  Error("step_channel.geo: step = %g is not permitted: 0 < step < height = %g", step, height);
  Abort;
EndIf
If (length <= 0)
  Error("step_channel.geo: length = %g is not permitted: length > 0", length);
  Abort;
EndIf

Point(1) = {0, 0, 0};
Point(2) = {length / 2, 0, 0};
Point(3) = {length / 2, step, 0};
Point(4) = {length, step, 0};
Point(5) = {length, height, 0};
Point(6) = {0, height, 0};
For k In {1:6}
  Line(k) = {k, k % 6 + 1};
EndFor
Curve Loop(1) = {1:6};
Plane Surface(1) = {1};

Physical Surface("metal") = {1};
Physical Curve("source") = {6};
Physical Curve("drain") = {4};
Physical Curve("walls") = {1, 2, 3, 5};

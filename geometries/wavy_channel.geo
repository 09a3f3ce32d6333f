// Wavy channel: one period of a channel whose two walls are waves; straight for amplitude = 0.
//
//          y
//          ^         edges
//          |  .-.              .--    width/2 + amplitude
//          | /   "-.         ."
//          |"       "-. _ . "         width/2
//     left |          metal     | right
//          0- - - - - - - - - - - - -> x
//          |.       .-"   "-.   |
//          | "-. .-"         "-.|
//          0                    period
//
// Parameters (lengths in the unit that the case file states)
//   width      mean distance of the walls                        width > 0
//   period     length of the part that repeats                   period > 0
//   amplitude  of the walls' waves                               0 <= amplitude
//   phase      of the lower wave against the upper one, degrees: 180 varies the width and leaves
//              the axis straight, 0 bends a channel whose vertical width is constant; the walls
//              must not touch:                       2 amplitude |sin(phase/2)| < width
// Groups
//   metal        the surface
//   left, right  the ends, a periodic pair: their meshes are the same but for the translation
//   edges        the two walls

SetFactory("OpenCASCADE");

DefineConstant[ width     = {100, Name "Parameters/width"} ];     // mean distance of the walls
DefineConstant[ period    = {300, Name "Parameters/period"} ];    // what repeats
DefineConstant[ amplitude = {20, Name "Parameters/amplitude"} ];  // of the waves
DefineConstant[ phase     = {180, Name "Parameters/phase"} ];     // of the lower wave, degrees

// Error reports to whoever reads the file; Abort keeps Gmsh's own window from going on.
If (width <= 0)
  Error("wavy_channel.geo: width = %g is not permitted: width > 0", width);
  Abort;
EndIf
If (period <= 0)
  Error("wavy_channel.geo: period = %g is not permitted: period > 0", period);
  Abort;
EndIf
If (amplitude < 0)
  Error("wavy_channel.geo: amplitude = %g is not permitted: amplitude >= 0", amplitude);
  Abort;
EndIf
// Upper wall less lower wall is width + amplitude (sin x - sin(x + phase)).
narrowest = width - 2 * amplitude * Fabs(Sin(phase * Pi / 360));
If (narrowest <= 0)
  Error("wavy_channel.geo: amplitude = %g is not permitted: 2 amplitude |sin(phase/2)| < width = %g",
        amplitude, width);
  Abort;
EndIf

// Corners, then two splines through points of the waves (dense enough to be waves to 1e-6).
number = 32;
upper[] = {};
lower[] = {};
For k In {0:number}
  x = period * k / number;
  p = newp; Point(p) = {x, -width / 2 + amplitude * Sin(2 * Pi * k / number + phase * Pi / 180), 0};
  lower[] += p;
EndFor
For k In {0:number}
  x = period * (number - k) / number;
  p = newp; Point(p) = {x, width / 2 + amplitude * Sin(-2 * Pi * k / number), 0};
  upper[] += p;
EndFor
If (amplitude > 0)
  Spline(1) = {lower[]};
  Spline(3) = {upper[]};
Else
  Line(1) = {lower[0], lower[number]};
  Line(3) = {upper[0], upper[number]};
EndIf
Line(2) = {lower[number], upper[0]};
Line(4) = {lower[0], upper[number]};
Curve Loop(1) = {1, 2, 3, -4};
Plane Surface(1) = {1};
For k In {1:number - 1}
  Recursive Delete { Point{lower[k], upper[k]}; }  // have served the splines
EndFor
Periodic Curve {2} = {4} Translate {period, 0, 0};

Physical Surface("metal") = {1};
Physical Curve("left") = {4};
Physical Curve("right") = {2};
Physical Curve("edges") = {1, 3};

// Strip: two walls with names of their own, between two contacts; the upper one may have a dent.
//
//          y
//          ^               far
//   width  |---------.              .----------
//   source |          "-.________.-"          | drain
//          |                metal             |
//          0-----------------------------------> x
//                          near              length
//
// Parameters (lengths in the unit that the case file states)
//   width, length   of the strip
//   dent            of the upper wall in its middle, 0 for a straight one, below zero a bulge

SetFactory("OpenCASCADE");
DefineConstant[ width  = {2, Name "Parameters/width"} ];
DefineConstant[ length = {4, Name "Parameters/length"} ];
DefineConstant[ dent   = {0, Name "Parameters/dent"} ];

number = 32;
far[] = {};
For k In {0:number}
  s = k / number;
  p = newp; Point(p) = {length * (1 - s), width - dent * Sin(Pi * s)^2, 0};
  far[] += p;
EndFor
a = newp; Point(a) = {0, 0, 0};
b = newp; Point(b) = {length, 0, 0};
If (dent == 0)
  Line(3) = {far[0], far[number]};
Else
  Spline(3) = {far[]};
EndIf
Line(1) = {a, b};
Line(2) = {b, far[0]};
Line(4) = {far[number], a};
Curve Loop(1) = {1, 2, 3, 4};
Plane Surface(1) = {1};
Recursive Delete { Point{far[{1:number - 1}]}; }  // have served the curve

Physical Surface("metal") = {1};
Physical Curve("near") = {1};
Physical Curve("drain") = {2};
Physical Curve("far") = {3};
Physical Curve("source") = {4};

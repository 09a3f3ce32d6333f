// Strip with point-like contacts: current across it, voltages beside it.
//
//          y               drain
//          ^  ---------------u------------------------- ...  width/2
//          |  |                                       |
//    edges |  |                                       | far
//          0- | - - - - - - -0- - - metal - - - - - - | -> x
//          |  |                                       |
//          |  |              ^     ^     ^        ^   |
//          |  --------------- ----- ----- -------- ---- ... -width/2
//                         source probe1 probe2  probe3
//         -length/2          0  distance1 ...       length/2
//
// The contacts at the long edges are half discs in the strip: the current enters through the arc,
// which meets the edge at a right angle, so that nothing is singular there.
//
// Parameters (lengths in the unit that the case file states)
//   width      distance of the long edges          width > 2 radius
//   length     distance of the ends                length > 2 distance3 + 2 radius
//   radius     of the half discs                   radius > 0
//   distance1  from the middle of the source to    distance1 > 2 radius
//   distance2  that of each probe, along the edge  distance2 > distance1 + 2 radius
//   distance3                                      distance3 > distance2 + 2 radius
// Groups
//   metal    the surface
//   source   contact at (0, -width/2)      drain   contact at (0, width/2)
//   probe1, probe2, probe3                 contacts at the lower edge, beside the source
//   far      contact at x = length/2       edges   all walls

SetFactory("OpenCASCADE");

DefineConstant[ width     = {200, Name "Parameters/width"} ];      // distance of the long edges
DefineConstant[ length    = {800, Name "Parameters/length"} ];     // distance of the ends
DefineConstant[ radius    = {10, Name "Parameters/radius"} ];      // of the half discs
DefineConstant[ distance1 = {50, Name "Parameters/distance1"} ];   // from the source to probe1
DefineConstant[ distance2 = {100, Name "Parameters/distance2"} ];  // from the source to probe2
DefineConstant[ distance3 = {200, Name "Parameters/distance3"} ];  // from the source to probe3

// Error reports to whoever reads the file; Abort keeps Gmsh's own window from going on.
If (radius <= 0)
  Error("vicinity.geo: radius = %g is not permitted: radius > 0", radius);
  Abort;
EndIf
If (width <= 2 * radius)
  Error("vicinity.geo: width = %g is not permitted: width > 2 radius = %g", width, 2 * radius);
  Abort;
EndIf
If (distance1 <= 2 * radius)
  Error("vicinity.geo: distance1 = %g is not permitted: distance1 > 2 radius = %g",
        distance1, 2 * radius);
  Abort;
EndIf
If (distance2 <= distance1 + 2 * radius)
  Error("vicinity.geo: distance2 = %g is not permitted: distance2 > distance1 + 2 radius = %g",
        distance2, distance1 + 2 * radius);
  Abort;
EndIf
If (distance3 <= distance2 + 2 * radius)
  Error("vicinity.geo: distance3 = %g is not permitted: distance3 > distance2 + 2 radius = %g",
        distance3, distance2 + 2 * radius);
  Abort;
EndIf
If (length <= 2 * (distance3 + radius))
  Error("vicinity.geo: length = %g is not permitted: length > 2 distance3 + 2 radius = %g",
        length, 2 * (distance3 + radius));
  Abort;
EndIf

// Counter-clockwise from the lower left corner. Each half disc is two arcs, because an arc is
// below 180 degrees.
edges[] = {};
centres[] = {};
arcs[] = {};
boundary[] = {};
where[] = {0, distance1, distance2, distance3, 0};
bottom = -width / 2;
first = newp; Point(first) = {-length / 2, bottom, 0};
last = first;
For k In {0:4}
  side = -1;
  If (k == 4)  // the drain comes after the end of the strip, on the upper edge
    side = 1;
    a = newp; Point(a) = {length / 2, bottom, 0};
    b = newp; Point(b) = {length / 2, -bottom, 0};
    l = newc; Line(l) = {last, a}; edges[] += l; boundary[] += l;
    l = newc; Line(l) = {a, b}; end = l; boundary[] += l;
    last = b;
  EndIf
  foot = side * width / 2;
  q = newp; Point(q) = {where[k], foot, 0}; centres[] += q;
  a = newp; Point(a) = {where[k] + side * radius, foot, 0};
  t = newp; Point(t) = {where[k], foot - side * radius, 0};
  b = newp; Point(b) = {where[k] - side * radius, foot, 0};
  l = newc; Line(l) = {last, a}; edges[] += l; boundary[] += l;
  l = newc; Circle(l) = {a, q, t}; arcs[] += l; boundary[] += l;
  l = newc; Circle(l) = {t, q, b}; arcs[] += l; boundary[] += l;
  last = b;
EndFor
a = newp; Point(a) = {-length / 2, -bottom, 0};
l = newc; Line(l) = {last, a}; edges[] += l; boundary[] += l;
l = newc; Line(l) = {a, first}; edges[] += l; boundary[] += l;

Curve Loop(1) = {boundary[]};
Plane Surface(1) = {1};

Delete { Point{centres[]}; }  // have served the arcs

Physical Surface("metal") = {1};
Physical Curve("source") = {arcs[0], arcs[1]};
Physical Curve("probe1") = {arcs[2], arcs[3]};
Physical Curve("probe2") = {arcs[4], arcs[5]};
Physical Curve("probe3") = {arcs[6], arcs[7]};
Physical Curve("drain") = {arcs[8], arcs[9]};
Physical Curve("far") = {end};
Physical Curve("edges") = {edges[]};

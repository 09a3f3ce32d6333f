// Cross: four equal arms that meet in the origin, a contact at the end of each.
//
//                  top
//                 -----   ... length/2
//                 |   |
//          edges  |   |
//           ------'   '------  <- fillet
//      left |       0       | right    metal
//           ------.   .------
//                 |   |
//                 |   |
//                 -----
//                 bottom
//
// Parameters (lengths in the unit that the case file states)
//   width    width of the arms                             width > 0
//   length   from contact to opposite contact              length > width + 2 fillet
//   fillet   radius of the four re-entrant corners,        0 <= fillet < (length - width)/2
//            0 for sharp ones
// Groups
//   metal    the surface
//   left, right, top, bottom   the contacts at the ends of the arms
//   edges    all walls

SetFactory("OpenCASCADE");

DefineConstant[ width  = {100, Name "Parameters/width"} ];   // width of the arms
DefineConstant[ length = {400, Name "Parameters/length"} ];  // from contact to opposite contact
DefineConstant[ fillet = {20, Name "Parameters/fillet"} ];   // radius of the re-entrant corners

// Error reports to whoever reads the file; Abort keeps Gmsh's own window from going on.
If (width <= 0)
  Error("cross.geo: width = %g is not permitted: width > 0", width);
  Abort;
EndIf
If (length <= width)
  Error("cross.geo: length = %g is not permitted: length > width + 2 fillet = %g",
        length, width + 2 * fillet);
  Abort;
EndIf
If (fillet < 0 || fillet >= (length - width) / 2)
  Error("cross.geo: fillet = %g is not permitted: 0 <= fillet < (length - width)/2 = %g",
        fillet, (length - width) / 2);
  Abort;
EndIf

// Arms counter-clockwise from the right one: e along the arm, (-ey, ex) across it.
ex[] = {1, 0, -1, 0};
ey[] = {0, 1, 0, -1};
h = width / 2;
foot = h + fillet;
tip = length / 2;

// Of each arm: foot, tip, tip, foot.
a[] = {};
b[] = {};
c[] = {};
d[] = {};
For k In {0:3}
  p = newp; Point(p) = {foot * ex[k] + h * ey[k], foot * ey[k] - h * ex[k], 0}; a[] += p;
  p = newp; Point(p) = {tip * ex[k] + h * ey[k], tip * ey[k] - h * ex[k], 0}; b[] += p;
  p = newp; Point(p) = {tip * ex[k] - h * ey[k], tip * ey[k] + h * ex[k], 0}; c[] += p;
  If (fillet > 0)
    p = newp; Point(p) = {foot * ex[k] - h * ey[k], foot * ey[k] + h * ex[k], 0}; d[] += p;
  EndIf
EndFor
If (fillet == 0)
  d[] = {a[1], a[2], a[3], a[0]};
EndIf

edges[] = {};
centres[] = {};
contacts[] = {};
boundary[] = {};  // all curves in order, as Curve Loop wants them
For k In {0:3}
  l = newc; Line(l) = {a[k], b[k]}; edges[] += l; boundary[] += l;
  l = newc; Line(l) = {b[k], c[k]}; contacts[] += l; boundary[] += l;
  l = newc; Line(l) = {c[k], d[k]}; edges[] += l; boundary[] += l;
  If (fillet > 0)
    q = newp; Point(q) = {foot * (ex[k] - ey[k]), foot * (ey[k] + ex[k]), 0};
    centres[] += q;
    l = newc; Circle(l) = {d[k], q, a[(k + 1) % 4]}; edges[] += l; boundary[] += l;
  EndIf
EndFor

Curve Loop(1) = {boundary[]};
Plane Surface(1) = {1};

Delete { Point{centres[]}; }  // have served the arcs

Physical Surface("metal") = {1};
Physical Curve("right") = {contacts[0]};
Physical Curve("top") = {contacts[1]};
Physical Curve("left") = {contacts[2]};
Physical Curve("bottom") = {contacts[3]};
Physical Curve("edges") = {edges[]};

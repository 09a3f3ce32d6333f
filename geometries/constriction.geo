// Constriction: two wide leads joined by a slit or a narrow channel with rounded corners.
//
//          y
//          ^      edges                edges
//          |---------------.   .--------------- ...  width/2
//          |               |   |              |
//          |               (   )  <- fillet   |
//   source |                "-"  ....         | drain
//          0- - - metal- - - - - - opening- - - - - > x
//          |                .-.  ....         |
//          |               (   )              |
//          |               |   |              |
//          |---------------'   '--------------- ... -width/2
//          0               length/2         length
//
// Parameters (lengths in the unit that the case file states)
//   width    width of the leads                              width > 0
//   length   distance of the two contacts                    length > neck + 2 fillet
//   opening  narrowest width, in the middle                  0 < opening < width
//   neck     length of the straight narrow part; the wall    neck >= 0
//            between the leads is neck + 2 fillet thick      neck + 2 fillet > 0
//   fillet   radius of the four re-entrant corners,          0 <= fillet < (width - opening)/2
//            0 for sharp ones
// Groups
//   metal    the surface
//   source   contact at x = 0        drain   contact at x = length
//   edges    all walls

SetFactory("OpenCASCADE");

DefineConstant[ width   = {100, Name "Parameters/width"} ];    // width of the leads
DefineConstant[ length  = {400, Name "Parameters/length"} ];   // distance of the contacts
DefineConstant[ opening = {30, Name "Parameters/opening"} ];   // narrowest width
DefineConstant[ neck    = {20, Name "Parameters/neck"} ];      // length of the straight narrow part
DefineConstant[ fillet  = {10, Name "Parameters/fillet"} ];    // radius of the re-entrant corners

// Error reports to whoever reads the file; Abort keeps Gmsh's own window from going on.
If (width <= 0)
  Error("constriction.geo: width = %g is not permitted: width > 0", width);
  Abort;
EndIf
If (opening <= 0 || opening >= width)
  Error("constriction.geo: opening = %g is not permitted: 0 < opening < width = %g", opening, width);
  Abort;
EndIf
If (neck < 0)
  Error("constriction.geo: neck = %g is not permitted: neck >= 0", neck);
  Abort;
EndIf
If (fillet < 0 || fillet >= (width - opening) / 2)
  Error("constriction.geo: fillet = %g is not permitted: 0 <= fillet < (width - opening)/2 = %g",
        fillet, (width - opening) / 2);
  Abort;
EndIf
If (neck + 2 * fillet <= 0)
  Error("constriction.geo: neck = %g is not permitted: neck > 0 where fillet = 0", neck);
  Abort;
EndIf
If (length <= neck + 2 * fillet)
  Error("constriction.geo: length = %g is not permitted: length > neck + 2 fillet = %g",
        length, neck + 2 * fillet);
  Abort;
EndIf

// Corners of the leads, counter-clockwise from the lower left.
corners[] = {};
p = newp; Point(p) = {0, -width / 2, 0}; corners[] += p;
p = newp; Point(p) = {length, -width / 2, 0}; corners[] += p;
p = newp; Point(p) = {length, width / 2, 0}; corners[] += p;
p = newp; Point(p) = {0, width / 2, 0}; corners[] += p;

// In order, as Curve Loop wants them: the lower wall from left to right (side = -1), the
// drain, the upper wall from right to left (side = +1), the source.
edges[] = {};
centres[] = {};
contacts[] = {};
boundary[] = {};
For k In {0:1}
  side = 2 * k - 1;
  dir = -side;
  a = newp;
  Point(a) = {length / 2 - dir * (neck / 2 + fillet), side * width / 2, 0};
  f = newp;
  Point(f) = {length / 2 + dir * (neck / 2 + fillet), side * width / 2, 0};

  c = newp;
  Point(c) = {length / 2 - dir * neck / 2, side * opening / 2, 0};
  d = c;
  If (neck > 0)
    d = newp;
    Point(d) = {length / 2 + dir * neck / 2, side * opening / 2, 0};
  EndIf
  b = c;
  e = d;
  If (fillet > 0)
    b = newp;
    Point(b) = {length / 2 - dir * (neck / 2 + fillet), side * (opening / 2 + fillet), 0};
    e = newp;
    Point(e) = {length / 2 + dir * (neck / 2 + fillet), side * (opening / 2 + fillet), 0};
  EndIf

  l = newc; Line(l) = {corners[2 * k], a}; edges[] += l; boundary[] += l;
  l = newc; Line(l) = {a, b}; edges[] += l; boundary[] += l;
  If (fillet > 0)
    centre = newp;
    Point(centre) = {length / 2 - dir * neck / 2, side * (opening / 2 + fillet), 0};
    centres[] += centre;
    l = newc; Circle(l) = {b, centre, c}; edges[] += l; boundary[] += l;
  EndIf
  If (neck > 0)
    l = newc; Line(l) = {c, d}; edges[] += l; boundary[] += l;
  EndIf
  If (fillet > 0)
    centre = newp;
    Point(centre) = {length / 2 + dir * neck / 2, side * (opening / 2 + fillet), 0};
    centres[] += centre;
    l = newc; Circle(l) = {d, centre, e}; edges[] += l; boundary[] += l;
  EndIf
  l = newc; Line(l) = {e, f}; edges[] += l; boundary[] += l;
  l = newc; Line(l) = {f, corners[2 * k + 1]}; edges[] += l; boundary[] += l;
  l = newc; Line(l) = {corners[2 * k + 1], corners[(2 * k + 2) % 4]}; contacts[] += l;
  boundary[] += l;
EndFor

Curve Loop(1) = {boundary[]};
Plane Surface(1) = {1};

Delete { Point{centres[]}; }  // have served the arcs

Physical Surface("metal") = {1};
Physical Curve("source") = {contacts[1]};
Physical Curve("drain") = {contacts[0]};
Physical Curve("edges") = {edges[]};

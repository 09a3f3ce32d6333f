// Chamber: a straight channel with a disc-shaped chamber on either side, each joined to
// the channel by an aperture with rounded corners. The current in the channel drags the
// electrons in the chambers along: whirlpools.
//
//          y               . - ~ - .
//          ^             /           \
//          |            |             |  chambers (with the fillets)
//          |            |  chamber_   |
//          |             \  radius   /
//          |              ' .     . '
//          |   edges          ) (     <- fillet
//          |----------------''   ''--------------- ...  width/2
//   source |                opening              | drain
//          0- - - - - - - - - - - - - - - - - - - - -> x
//          |                 metal               |
//          |----------------..   ..--------------- ... -width/2
//          0                  ) (              length
//              (and the mirror image below)
//
// Parameters (lengths in the unit that the case file states)
//   width           width of the channel                    width > 0
//   length          distance of the two contacts            length > opening + 2 fillet
//   chamber_radius  radius of the discs                     chamber_radius > 0
//   opening         narrowest width of the apertures,       0 < opening < 2 chamber_radius
//                   between the rounded corners
//   fillet          radius of the four re-entrant corners,  0 <= fillet < (length - opening)/2
//                   0 for sharp ones
// Groups
//   metal     the surface
//   source    contact at x = 0       drain   contact at x = length
//   edges     the straight walls of the channel
//   chambers  the walls of both chambers, with the rounded corners

SetFactory("OpenCASCADE");

DefineConstant[ width          = {100, Name "Parameters/width"} ];           // width of the channel
DefineConstant[ length         = {600, Name "Parameters/length"} ];          // distance of the contacts
DefineConstant[ chamber_radius = {100, Name "Parameters/chamber_radius"} ];  // radius of the discs
DefineConstant[ opening        = {80, Name "Parameters/opening"} ];          // narrowest width of an aperture
DefineConstant[ fillet         = {10, Name "Parameters/fillet"} ];           // radius of the re-entrant corners

// Error reports to whoever reads the file; Abort keeps Gmsh's own window from going on.
If (width <= 0)
  Error("chamber.geo: width = %g is not permitted: width > 0", width);
  Abort;
EndIf
If (chamber_radius <= 0)
  Error("chamber.geo: chamber_radius = %g is not permitted: chamber_radius > 0", chamber_radius);
  Abort;
EndIf
If (opening <= 0 || opening >= 2 * chamber_radius)
  Error("chamber.geo: opening = %g is not permitted: 0 < opening < 2 chamber_radius = %g",
        opening, 2 * chamber_radius);
  Abort;
EndIf
If (length <= opening)
  Error("chamber.geo: length = %g is not permitted: length > opening + 2 fillet = %g",
        length, opening + 2 * fillet);
  Abort;
EndIf
If (fillet < 0 || fillet >= (length - opening) / 2)
  Error("chamber.geo: fillet = %g is not permitted: 0 <= fillet < (length - opening)/2 = %g",
        fillet, (length - opening) / 2);
  Abort;
EndIf

// A fillet touches the channel's wall from outside and the disc from outside: its centre
// lies `fillet` above the wall and chamber_radius + fillet from the disc's centre. The
// aperture is narrowest level with that centre, whence `across`; `height` is the disc's
// centre above the channel's wall. With fillet = 0 the opening is the chord that the
// wall cuts off the disc.
across = opening / 2 + fillet;
height = fillet + Sqrt((chamber_radius + fillet)^2 - across^2);
// Where fillet and disc touch, seen from the disc's centre: angle from the aperture's axis.
gap = Asin(across / (chamber_radius + fillet));

// Corners of the channel, counter-clockwise from the lower left.
corners[] = {};
p = newp; Point(p) = {0, -width / 2, 0}; corners[] += p;
p = newp; Point(p) = {length, -width / 2, 0}; corners[] += p;
p = newp; Point(p) = {length, width / 2, 0}; corners[] += p;
p = newp; Point(p) = {0, width / 2, 0}; corners[] += p;

// In order, as Curve Loop wants them: the lower wall from left to right (side = -1), the
// drain, the upper wall from right to left (side = +1), the source.
edges[] = {};
centres[] = {};
chambers[] = {};
contacts[] = {};
boundary[] = {};
For k In {0:1}
  side = 2 * k - 1;
  dir = -side;
  xc = length / 2;
  yc = side * (width / 2 + height);
  centre = newp;
  Point(centre) = {xc, yc, 0};
  centres[] += centre;

  // The disc in four equal arcs: one given by its centre must stay below 180 degrees.
  p[] = {};
  For j In {0:4}
    phi = gap + j / 4 * (2 * Pi - 2 * gap);
    q = newp;
    Point(q) = {xc - dir * chamber_radius * Sin(phi), yc - side * chamber_radius * Cos(phi), 0};
    p[] += q;
  EndFor
  a = p[0];
  b = p[4];
  If (fillet > 0)
    a = newp;
    Point(a) = {xc - dir * across, side * width / 2, 0};
    b = newp;
    Point(b) = {xc + dir * across, side * width / 2, 0};
  EndIf

  l = newc; Line(l) = {corners[2 * k], a}; edges[] += l; boundary[] += l;
  If (fillet > 0)
    q = newp;
    Point(q) = {xc - dir * across, side * (width / 2 + fillet), 0};
    centres[] += q;
    l = newc; Circle(l) = {a, q, p[0]}; chambers[] += l; boundary[] += l;
  EndIf
  For j In {0:3}
    l = newc; Circle(l) = {p[j], centre, p[j + 1]}; chambers[] += l; boundary[] += l;
  EndFor
  If (fillet > 0)
    q = newp;
    Point(q) = {xc + dir * across, side * (width / 2 + fillet), 0};
    centres[] += q;
    l = newc; Circle(l) = {p[4], q, b}; chambers[] += l; boundary[] += l;
  EndIf
  l = newc; Line(l) = {b, corners[2 * k + 1]}; edges[] += l; boundary[] += l;
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
Physical Curve("chambers") = {chambers[]};

// Hall bar: a strip with source and drain and two pairs of side probes.
//
//          y      probe1     probe2
//          ^       ---        ---     ...  width/2 + probe_length
//          |       | |        | |
//          | edges | |        | |  <- fillet where probe and strip meet
//          |-------' '--------' '------- ...  width/2
//   source |          metal            | drain
//          0- - - - - - - - - - - - - - - -> x
//          |-------. .--------. .------- ... -width/2
//          |       | |<spacing>| |     length
//          |       | |        | |
//                  ---        ---
//                 probe3     probe4
//
// Parameters (lengths in the unit that the case file states)
//   width         width of the strip                        width > 0
//   length        distance of source and drain              length > spacing + probe_width + 2 fillet
//   probe_width   width of the probes                       probe_width > 0
//   probe_length  from the strip's wall to the probe's      probe_length > 0
//                 contact
//   spacing       between the axes of neighbouring probes   spacing > probe_width + 2 fillet
//   fillet        radius of the eight re-entrant corners,   0 <= fillet < probe_length
//                 0 for sharp ones
// Groups
//   metal    the surface
//   source   contact at x = 0          drain    contact at x = length
//   probe1   contact, top left         probe2   contact, top right
//   probe3   contact, bottom left      probe4   contact, bottom right
//   edges    all walls

SetFactory("OpenCASCADE");

DefineConstant[ width        = {100, Name "Parameters/width"} ];         // width of the strip
DefineConstant[ length       = {600, Name "Parameters/length"} ];        // distance of source and drain
DefineConstant[ probe_width  = {40, Name "Parameters/probe_width"} ];    // width of the probes
DefineConstant[ probe_length = {80, Name "Parameters/probe_length"} ];   // from the strip to a probe's contact
DefineConstant[ spacing      = {240, Name "Parameters/spacing"} ];       // between the probes' axes
DefineConstant[ fillet       = {10, Name "Parameters/fillet"} ];         // radius of the re-entrant corners

// Error reports to whoever reads the file; Abort keeps Gmsh's own window from going on.
If (width <= 0)
  Error("hall_bar.geo: width = %g is not permitted: width > 0", width);
  Abort;
EndIf
If (probe_width <= 0)
  Error("hall_bar.geo: probe_width = %g is not permitted: probe_width > 0", probe_width);
  Abort;
EndIf
If (probe_length <= 0)
  Error("hall_bar.geo: probe_length = %g is not permitted: probe_length > 0", probe_length);
  Abort;
EndIf
If (fillet < 0 || fillet >= probe_length)
  Error("hall_bar.geo: fillet = %g is not permitted: 0 <= fillet < probe_length = %g",
        fillet, probe_length);
  Abort;
EndIf
If (spacing <= probe_width + 2 * fillet)
  Error("hall_bar.geo: spacing = %g is not permitted: spacing > probe_width + 2 fillet = %g",
        spacing, probe_width + 2 * fillet);
  Abort;
EndIf
If (length <= spacing + probe_width + 2 * fillet)
  Error("hall_bar.geo: length = %g is not permitted: length > spacing + probe_width + 2 fillet = %g",
        length, spacing + probe_width + 2 * fillet);
  Abort;
EndIf

// Corners of the strip, counter-clockwise from the lower left.
corners[] = {};
p = newp; Point(p) = {0, -width / 2, 0}; corners[] += p;
p = newp; Point(p) = {length, -width / 2, 0}; corners[] += p;
p = newp; Point(p) = {length, width / 2, 0}; corners[] += p;
p = newp; Point(p) = {0, width / 2, 0}; corners[] += p;

// In order, as Curve Loop wants them: the lower wall from left to right (side = -1), the
// drain, the upper wall from right to left (side = +1), the source.
edges[] = {};
centres[] = {};
probes[] = {};
contacts[] = {};
boundary[] = {};
For k In {0:1}
  side = 2 * k - 1;
  dir = -side;
  last = corners[2 * k];
  For j In {0:1}
    x = length / 2 + dir * (2 * j - 1) * spacing / 2;
    foot = side * width / 2;
    tip = side * (width / 2 + probe_length);
    a = newp; Point(a) = {x - dir * (probe_width / 2 + fillet), foot, 0};
    t = newp; Point(t) = {x - dir * probe_width / 2, tip, 0};
    u = newp; Point(u) = {x + dir * probe_width / 2, tip, 0};
    d = newp; Point(d) = {x + dir * (probe_width / 2 + fillet), foot, 0};
    b = a;
    c = d;
    l = newc; Line(l) = {last, a}; edges[] += l; boundary[] += l;
    If (fillet > 0)
      b = newp; Point(b) = {x - dir * probe_width / 2, foot + side * fillet, 0};
      c = newp; Point(c) = {x + dir * probe_width / 2, foot + side * fillet, 0};
      q = newp; Point(q) = {x - dir * (probe_width / 2 + fillet), foot + side * fillet, 0};
      r = newp; Point(r) = {x + dir * (probe_width / 2 + fillet), foot + side * fillet, 0};
      centres[] += {q, r};
      l = newc; Circle(l) = {a, q, b}; edges[] += l; boundary[] += l;
    EndIf
    l = newc; Line(l) = {b, t}; edges[] += l; boundary[] += l;
    l = newc; Line(l) = {t, u}; probes[] += l; boundary[] += l;
    l = newc; Line(l) = {u, c}; edges[] += l; boundary[] += l;
    If (fillet > 0)
      l = newc; Circle(l) = {c, r, d}; edges[] += l; boundary[] += l;
    EndIf
    last = d;
  EndFor
  l = newc; Line(l) = {last, corners[2 * k + 1]}; edges[] += l; boundary[] += l;
  l = newc; Line(l) = {corners[2 * k + 1], corners[(2 * k + 2) % 4]}; contacts[] += l;
  boundary[] += l;
EndFor

Curve Loop(1) = {boundary[]};
Plane Surface(1) = {1};

Delete { Point{centres[]}; }  // have served the arcs

Physical Surface("metal") = {1};
Physical Curve("source") = {contacts[1]};
Physical Curve("drain") = {contacts[0]};
Physical Curve("probe1") = {probes[3]};
Physical Curve("probe2") = {probes[2]};
Physical Curve("probe3") = {probes[0]};
Physical Curve("probe4") = {probes[1]};
Physical Curve("edges") = {edges[]};

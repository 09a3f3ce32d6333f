// Film: a box between two contacts, its thickness cut into layers of cells.
//
//          z
//          ^            surfaces (top)
//          |----------------------------------.   thickness   \
//          |                                  |                } layers
//   source |              metal               | drain         /
//          0----------------------------------'-> x
//        0 :            surfaces (bottom)     length
//          :
//          y: from 0 to width, sides
//
// Parameters (lengths in the unit that the case file states)
//   length     distance of the two contacts, along x                      length > 0
//   width      of the film, along y                                       width > 0
//   thickness  of the film, along z                                       thickness > 0
//   layers     number of layers of cells across the thickness             layers >= 1
//   grading    height of a layer over that of its neighbour nearer to     grading >= 1
//              the surface; 1 for equal heights
//   size       of the cells along x and y                                 size > 0
// Where the vorticity diffusion length l is far below the thickness, the layers at the surfaces
// must be about l/3 high: 2 (1 + g + ... + g^(layers/2 - 1)) of them fill the thickness.
// All cells are drawn here: the mesh sizes of a case file do not act on this film.
// Groups
//   metal      the volume
//   source     contact at x = 0        drain  contact at x = length
//   surfaces   top and bottom          sides  at y = 0 and y = width
// The meshes of source and drain are the same but for the translation: they can be a periodic pair.

DefineConstant[ length    = {400, Name "Parameters/length"} ];    // distance of the contacts
DefineConstant[ width     = {100, Name "Parameters/width"} ];     // along y
DefineConstant[ thickness = {20, Name "Parameters/thickness"} ];  // along z
DefineConstant[ layers    = {6, Name "Parameters/layers"} ];      // of cells across the thickness
DefineConstant[ grading   = {1, Name "Parameters/grading"} ];     // ratio of neighbouring heights
DefineConstant[ size      = {25, Name "Parameters/size"} ];       // of the cells along x and y

// Error reports to whoever reads the file; Abort keeps Gmsh's own window from going on.
If (length <= 0)
  Error("film.geo: length = %g is not permitted: length > 0", length);
  Abort;
EndIf
If (width <= 0)
  Error("film.geo: width = %g is not permitted: width > 0", width);
  Abort;
EndIf
If (thickness <= 0)
  Error("film.geo: thickness = %g is not permitted: thickness > 0", thickness);
  Abort;
EndIf
If (layers < 1)
  Error("film.geo: layers = %g is not permitted: layers >= 1", layers);
  Abort;
EndIf
If (grading < 1)
  Error("film.geo: grading = %g is not permitted: grading >= 1", grading);
  Abort;
EndIf
If (size <= 0)
  Error("film.geo: size = %g is not permitted: size > 0", size);
  Abort;
EndIf

// Heights at which the layers end, over the thickness; they grow from both surfaces.
number = Floor(layers + 0.5);
whole = 0;
For k In {0:number - 1}
  whole += grading^((k < number - 1 - k) ? k : number - 1 - k);
EndFor
ones[] = {};
ends[] = {};
reached = 0;
For k In {0:number - 1}
  reached += grading^((k < number - 1 - k) ? k : number - 1 - k) / whole;
  ones[] += 1;
  ends[] += (k == number - 1) ? 1 : reached;
EndFor

// An edge along y, pulled up to the source in the layers, pulled along x to the drain: the
// triangles of the drain are copies of those of the source.
Point(1) = {0, 0, 0};
Point(2) = {0, width, 0};
Line(1) = {1, 2};
Transfinite Curve {1} = 1 + Ceil(width / size - 1e-9);
wall[] = Extrude {0, 0, thickness} { Line{1}; Layers{ ones[], ends[] }; };
// far end, volume, and the walls on the curves of the source: bottom, then around it
film[] = Extrude {length, 0, 0} { Surface{wall[1]}; Layers{ Ceil(length / size - 1e-9) }; };

Physical Volume("metal") = {film[1]};
Physical Surface("source") = {wall[1]};
Physical Surface("drain") = {film[0]};
Physical Surface("surfaces") = {film[2], film[4]};
Physical Surface("sides") = {film[3], film[5]};

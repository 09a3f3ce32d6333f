// Magnetic focusing: two narrow contacts beside each other in the smooth wall of a wide sheet.
//
//          y                  drain
//          |-----------------------------------| height
//          |                                   |
//    drain |               metal               | drain
//          |                                   |
//          |--wall--[collector]--wall--[injector]--wall--|
//                        0       distance
//
// Parameters (lengths in the unit that the case file states)
//   distance   between the middles of the contacts    distance > opening
//   opening    width of each of them                  opening > 0
//   height     of the sheet                           height > 0
//   margin     of the wall beside the contacts        margin > opening
// Groups
//   metal   the surface
//   injector, collector   contacts      drain   contact all around
//   wall    what is left of the lower side

DefineConstant[ distance = {1000, Name "Parameters/distance"} ];   // middle to middle
DefineConstant[ opening  = {60, Name "Parameters/opening"} ];      // width of the contacts
DefineConstant[ height   = {1200, Name "Parameters/height"} ];     // of the sheet
DefineConstant[ margin   = {600, Name "Parameters/margin"} ];      // beside the contacts

If (opening <= 0 || distance <= opening || margin <= opening || height <= 0)
  Error("focusing.geo: needs distance > opening > 0, margin > opening, height > 0");
  Abort;
EndIf

Point(1) = {-margin, 0, 0};
Point(2) = {-opening / 2, 0, 0};
Point(3) = {opening / 2, 0, 0};
Point(4) = {distance - opening / 2, 0, 0};
Point(5) = {distance + opening / 2, 0, 0};
Point(6) = {distance + margin, 0, 0};
Point(7) = {distance + margin, height, 0};
Point(8) = {-margin, height, 0};
For k In {1:7}
  Line(k) = {k, k + 1};
EndFor
Line(8) = {8, 1};
Curve Loop(1) = {1:8};
Plane Surface(1) = {1};

Physical Surface("metal") = {1};
Physical Curve("collector") = {2};
Physical Curve("injector") = {4};
Physical Curve("wall") = {1, 3, 5};
Physical Curve("drain") = {6, 7, 8};

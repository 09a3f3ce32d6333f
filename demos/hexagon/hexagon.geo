// A square whose corners are cut off: contacts 1 to 4 counter-clockwise from the lower left one.
DefineConstant[ side = {10}, contact = {1} ]; // length of a contact
c = contact / Sqrt(2); a = side / 2;
Point(1) = {-a, -a + c, 0}; Point(2) = {-a + c, -a, 0};
Point(3) = {a - c, -a, 0}; Point(4) = {a, -a + c, 0};
Point(5) = {a, a - c, 0}; Point(6) = {a - c, a, 0};
Point(7) = {-a + c, a, 0}; Point(8) = {-a, a - c, 0};
For i In {1:7}
  Line(i) = {i, i + 1};
EndFor
Line(8) = {8, 1};
Curve Loop(1) = {1:8};
Plane Surface(1) = {1};
Physical Surface("metal") = {1};
Physical Curve("contact1") = {1};
Physical Curve("contact2") = {3};
Physical Curve("contact3") = {5};
Physical Curve("contact4") = {7};
Physical Curve("walls") = {2, 4, 6, 8};

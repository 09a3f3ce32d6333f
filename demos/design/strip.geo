// Strip: two walls with names of their own, between two contacts.
//
//          y
//          ^               far
//   width  |-----------------------------------
//   source |              metal               | drain
//          0-----------------------------------> x
//                          near              length

SetFactory("OpenCASCADE");
DefineConstant[ width  = {2, Name "Parameters/width"} ];
DefineConstant[ length = {4, Name "Parameters/length"} ];

Rectangle(1) = {0, 0, 0, length, width};
Physical Surface("metal") = {1};
Physical Curve("near") = {1};
Physical Curve("drain") = {2};
Physical Curve("far") = {3};
Physical Curve("source") = {4};

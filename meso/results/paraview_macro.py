"""Current and orbital density of this result in ParaView.

In ParaView: File > Load State ..., and this file. Without windows: pvbatch paraview_state.py a.png
"""

import inspect
import os
import sys

from paraview import simple as pv

# What the result is; lengths in metres.
DEVICE: dict = {}

HERE = os.path.dirname(os.path.abspath(str(inspect.getsourcefile(lambda: None))))
ORANGE, INK, GREY = [0.85, 0.5, 0.15], [0.15, 0.15, 0.15], [0.8, 0.8, 0.82]


def opened(name):
    """A file of the result, in the unit of the drawing: ParaView is not made for nanometres."""
    source = pv.OpenDataFile(os.path.join(HERE, name + ".pvd"))
    pv.RenameSource(name, source)
    merged = pv.MergeBlocks(Input=source)
    moved = pv.Transform(Input=merged)
    moved.TransformAllInputVectors = 0
    moved.Transform.Scale = [1.0 / DEVICE["unit"]] * 3
    pv.RenameSource(name + " in " + DEVICE["length"], moved)
    moved.UpdatePipeline()
    return moved


def piece(boundaries, number):
    """One of the named boundaries."""
    found = pv.Threshold(Input=boundaries, Scalars=["CELLS", "boundary"])
    found.LowerThreshold = found.UpperThreshold = number
    pv.RenameSource(DEVICE["boundaries"][number]["name"], found)
    return found


def streams(fields, seeds):
    """Tubes along the current from the contact where it comes in."""
    some = pv.MaskPoints(Input=seeds, MaximumNumberofPoints=DEVICE["lines"], RandomSampling=1)
    lines = pv.StreamTracerWithCustomSource(Input=fields, SeedSource=some)
    lines.Vectors = ["POINTS", "current_density"]
    lines.IntegrationDirection = "BOTH"
    lines.MaximumStreamlineLength = 20 * DEVICE["size"]
    tubes = pv.Tube(Input=lines, Radius=DEVICE["size"] * DEVICE["tube"], NumberofSides=8)
    tubes.Scalars = [None, ""]
    tubes.Vectors = [None, ""]
    pv.RenameSource("stream lines", tubes)
    return tubes


def coloured(source, view, field):
    """Show a source in the colours of a field, over its usual range."""
    shown = pv.Show(source, view)
    what = DEVICE["fields"][field]
    component = what["component"] or ("Magnitude" if what["vector"] else "")
    where = ("POINTS", field, component) if component else ("POINTS", field)
    pv.ColorBy(shown, where)
    colours = pv.GetColorTransferFunction(field)
    colours.ApplyPreset(what["palette"], True)
    colours.AutomaticRescaleRangeMode = "Never"
    colours.RescaleTransferFunction(*what["range"])
    bar = pv.GetScalarBar(colours, view)
    bar.Title, bar.ComponentTitle = what["title"], ""
    bar.TitleColor = bar.LabelColor = INK
    bar.Orientation, bar.WindowLocation, bar.ScalarBarLength = "Horizontal", "Lower Center", 0.5
    bar.TitleFontSize = bar.LabelFontSize = 12
    shown.SetScalarBarVisibility(view, True)
    shown.Ambient, shown.Diffuse = 0.4, 0.6
    return shown


def plain(source, view, colour, opacity=1.0):
    """Show a source in one colour."""
    shown = pv.Show(source, view)
    shown.ColorArrayName = [None, ""]
    shown.AmbientColor = shown.DiffuseColor = colour
    shown.Opacity, shown.LineWidth, shown.Ambient = opacity, 5, 0.5
    return shown


def outlined(view, boundaries, opacity):
    """Contacts with their names."""
    for number, boundary in enumerate(DEVICE["boundaries"]):
        if boundary["kind"] == "wall":
            continue
        plain(piece(boundaries, number), view, ORANGE, opacity)
        for place in boundary["places"]:
            text = pv.Text(Text=boundary["name"])
            pv.RenameSource("name " + boundary["name"], text)
            label = pv.Show(text, view, "TextSourceRepresentation")
            label.TextPropMode = "Billboard 3D Text"
            label.BillboardPosition = [x / DEVICE["unit"] for x in place]
            label.Color, label.FontSize, label.Bold = INK, 16, 1


def looked_at(view):
    """From above in 2D, from the front and above in 3D."""
    view.Background, view.UseColorPaletteForBackground = [1.0, 1.0, 1.0], 0
    view.OrientationAxesLabelColor = INK
    view.CameraParallelProjection = 1
    view.CameraFocalPoint = [0.0, 0.0, 0.0]
    flat = DEVICE["dimension"] == 2
    view.CameraPosition = [0.0, 0.0, 1.0] if flat else [-0.5, -0.8, 0.55]
    view.CameraViewUp = [0.0, 1.0, 0.0] if flat else [0.0, 0.0, 1.0]
    if flat:
        view.InteractionMode = "2D"
    pv.ResetCamera(view)


def main():
    """Two views side by side: current, and what its vorticity makes."""
    pv._DisableFirstRenderCameraReset()
    fields, boundaries = opened("fields"), opened("boundaries")
    solid = DEVICE["dimension"] == 3
    layout = pv.CreateLayout("meso")
    left = pv.CreateRenderView()
    layout.AssignView(0, left)
    views = [left]
    if solid:
        plain(boundaries, left, GREY, 0.25)
    else:
        coloured(fields, left, "current_density")
    if DEVICE["inlet"] is not None:
        tubes = streams(fields, piece(boundaries, DEVICE["inlet"]))
        if solid:
            coloured(tubes, left, "current_density")
        else:
            plain(tubes, left, [1.0, 1.0, 1.0])
    outlined(left, boundaries, 0.5 if solid else 1.0)
    if DEVICE["curl"]:
        right = pv.CreateRenderView()
        layout.SplitHorizontal(0, 0.5)
        layout.AssignView(2, right)
        views.append(right)
        coloured(opened("walls") if DEVICE["walls"] else fields, right, DEVICE["curl"])
        outlined(right, boundaries, 1.0)
    for view in views:
        looked_at(view)
        pv.Render(view)
    if len(sys.argv) > 1 and sys.argv[-1].endswith(".png"):
        pv.SaveScreenshot(sys.argv[-1], layout, ImageResolution=[1600, 700])


main()

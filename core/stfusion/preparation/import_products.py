"""Downloads of the usual sensors as a stack: a dated file for each, scaled, named and masked."""

from __future__ import annotations

from stfusion.declaration import Method, Option, Output, Result, Role
from stfusion.preparation._shared import AREA, GROUP

#: What quality bands tell of a pixel, and its number in the masks that are written; of two, the first one counts.
CODES = {
    "fill": 1, "cloud": 2, "probable": 3, "shadow": 4, "cirrus": 5, "adjacent": 6, "snow": 7, "water": 8, "poor": 9,
}
#: Numbers of pixels near masked ones and of those that a mask layer leaves out.
DILATED, LAYER = 10, 11
#: What is masked unless the user says otherwise.
USUAL = ("cloud", "probable", "shadow", "cirrus", "adjacent")
PRODUCTS = ("auto", "landsat", "sentinel2", "hls", "modis", "raw", "raster")
TYPES = ("auto", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64")

METHOD = Method(
    id="import_products",
    operation="prepare",
    title="Import products",
    group=GROUP,
    summary="Makes a dated stack of downloads: Landsat, Sentinel-2, HLS, MODIS, VIIRS, raw images and any raster.",
    description=(
        "Takes files, folders and archives as they were downloaded and writes one image for every date, with its "
        "bands in the order of wavelength and named, its numbers scaled, its date in its name and its tags, and "
        "without the pixels that its quality bands call cloud, shadow or what else is to be masked. Known are Landsat "
        "Collection 2 (level 1 and 2), Sentinel-2 level 2A, Harmonized Landsat Sentinel 2.0, the gridded reflectance "
        "of MODIS and VIIRS (MOD09, MCD43A4, VNP09, VNP43), raw images without a header such as the CIA and LGC data "
        "sets, and any raster that can be read. Tiles of one date become one image. Archives are read without being "
        "unpacked, and no image as a whole."
    ),
    paper="",
    doi="",
    roles=(
        Role(
            "products", "Products", "files", "",
            "Files of downloads: archives (tar, zip), a MTL or MTD_MSIL2A file for the folder that it lies in, HDF and "
            "netCDF files, raw images, raster files. On the command line folders, too.",
            required=False, several=True,
        ),
        Role(
            "folder", "Folder of downloads", "folder", "",
            "Folder with products, their folders and archives; all below it is looked through.", required=False,
        ),
        Role(
            "masks", "Mask layers", "mask", "",
            "Masks of the same dates and grids as the images; pixels that are not clear are left out. A single one "
            "without a date belongs to all images.",
            required=False, several=True,
        ),
        Role(
            "date_table", "Table of dates", "file", "",
            "Text file whose lines have the name of a file or product, a comma and its date, for those whose names and "
            "metadata do not tell it.",
            required=False, extension="csv", advanced=True,
        ),
    ),
    options=(
        Option(
            "product", "choice", "Product", "auto",
            "What to look for; 'auto' looks for all of them. 'raw' and 'raster' take the files as they are.",
            choices=PRODUCTS, advanced=False,
        ),
        Option(
            "bands", "text", "Bands", "",
            "Names or numbers of the bands, separated by commas, such as red,NIR or B04,B08 or 4,3,2, as the product "
            "counts them; 'all' for all of them. When empty, the reflective bands that the sensors share, all bands of "
            "Sentinel-2 at the resolution, and all bands of other files.",
            advanced=False,
        ),
        Option(
            "resolution", "number", "Resolution", 0.0,
            "Pixel size in metres where a product has several: 10, 20 or 60 for Sentinel-2, 500 or 1000 for VIIRS. 0 "
            "takes the finest. Bands that are named and have another one are resampled.",
            0.0, 100_000.0, advanced=False,
        ),
        Option(
            "mask", "text", "Masked", ",".join(USUAL),
            f"What is masked, separated by commas, from: {', '.join(list(CODES)[1:])}; or 'none'. Pixels without data "
            "always are.",
            advanced=False,
        ),
        Option(
            "dilation", "integer", "Dilation (pixels)", 0,
            "Pixels this near to a masked one are masked, too; not around pixels without data.", 0, 100, advanced=False,
        ),
        AREA,
        Option(
            "margin", "integer", "Pixels around the area", 0,
            "Pixels more on every side of the area, such as coarse ones that its edges are resampled from.", 0, 1000,
        ),
        Option(
            "name", "text", "Name", "",
            "Beginning of the names of the files that are written, before the date. When empty, that of the product.",
        ),
        Option(
            "pattern", "text", "Pattern of dates in names", "",
            "How names are written, such as lai_*_%Y%j: %Y and %y year, %m month, %d day, %j day of the year, * any "
            "text, ? any character. When empty, metadata and the names of usual products are understood.",
        ),
        Option(
            "numbers", "choice", "Numbers", "scaled",
            "How values are stored. 'scaled': reflectance x 10 000 in whole numbers of 16 bits, whatever the product's "
            "own scale, and what is no reflectance as it is; 'stored': the numbers of the product with its scale and "
            "offset in the header; 'float32': physical values.",
            choices=("scaled", "stored", "float32"),
        ),
        Option(
            "scale", "text", "Scale", "",
            "Stored value x scale + offset is the value; for raw images and other rasters. When empty, the header's.",
        ),
        Option("offset", "text", "Offset", "", "See the scale."),
        Option(
            "nodata", "text", "Nodata value", "",
            "Stored value that means 'no data'; for raw images and other rasters. When empty, the header's.",
        ),
        Option("units", "text", "Units", "", "Units of the values, such as K, written into the header."),
        Option(
            "shape", "text", "Shape of raw images", "",
            "Rows, columns and bands, such as 2040,1720,6. When empty, guessed from the size of the file.",
        ),
        Option(
            "interleave", "choice", "Interleave of raw images", "auto",
            "Order of the numbers: line by line (bil), band by band (bsq), pixel by pixel (bip). 'auto' takes it from "
            "the ending, and else band by band.",
            choices=("auto", "bil", "bsq", "bip"),
        ),
        Option(
            "number_type", "choice", "Type of raw images", "auto",
            "Type of a number; 'auto' takes it from the size of the file.", choices=TYPES,
        ),
        Option(
            "skip", "integer", "Bytes to skip in raw images", 0, "Length of what comes before the numbers.", 0, 2**30,
        ),
        Option(
            "big_endian", "boolean", "Raw images are big-endian", False, "The first byte of a number is the highest.",
        ),
    ),
    outputs=(
        Output(
            "output", "folder_out", "Folder of the stack",
            "Folder that receives an image for every date, and index.json on what they were made of.", images=True,
        ),
        Output(
            "masks_output", "folder_out", "Folder of the masks",
            "Folder that receives the mask of every date: 0 is good, other numbers say why a pixel is left out.",
            required=False,
        ),
    ),
    results=(
        Result("images", "number", "Images imported"),
        Result("masked", "number", "Share masked (0 to 1, mean of the images)"),
    ),
    run="stfusion.preparation._import:run",
    tags=(
        "import", "Landsat", "Sentinel-2", "HLS", "MODIS", "VIIRS", "cloud mask", "QA", "BIL", "BSQ", "HDF", "SAFE",
        "CIA", "LGC", "convert",
    ),
    example=("folder",),
)

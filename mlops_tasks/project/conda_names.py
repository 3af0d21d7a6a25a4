"""The names of conda's packages: which are no Python packages, and which PyPI has under another name."""

from __future__ import annotations

import re

ON_PYPI = {
    "brotli-python": "brotli",
    "dask-core": "dask",
    "docker-py": "docker",
    "matplotlib-base": "matplotlib",
    "msgpack-python": "msgpack",
    "mlflow-ui": "mlflow",
    "opencv": "opencv-python",
    "py-opencv": "opencv-python",
    "py-xgboost": "xgboost",
    "py-xgboost-cpu": "xgboost",
    "py-xgboost-gpu": "xgboost",
    "pyarrow-core": "pyarrow",
    "pyqt": "pyqt5",
    "pytables": "tables",
    "python-build": "build",
    "python-duckdb": "duckdb",
    "python-fastjsonschema": "fastjsonschema",
    "python-flatbuffers": "flatbuffers",
    "python-graphviz": "graphviz",
    "python-kaleido": "kaleido",
    "python-kubernetes": "kubernetes",
    "python-lmdb": "lmdb",
    "python-tzdata": "tzdata",
    "python-xxhash": "xxhash",
    "pytorch": "torch",
    "pytorch-cpu": "torch",
    "pytorch-gpu": "torch",
    "redis-py": "redis",
    "ruamel_yaml": "ruamel.yaml",
    "sagemaker-python-sdk": "sagemaker",
    "seaborn-base": "seaborn",
    "uvicorn-standard": "uvicorn",
}
"""conda's name and PyPI's, where the two differ in more than `_` and `-`."""

_LIBRARIES_OF_PYTHON = {
    *("libarchive-c", "libclang", "libcst", "liblinear-official", "libpysal", "librosa", "libsass", "libtmux"),
    *("libusb1", "libvirt-python", "libtorrent", "libcloud", "librt"),
}
_FAMILIES = re.compile(
    r"_|lib|r-|rstudio|aws-(c-|checksums|crt-cpp|sdk-cpp)|azure-.*-cpp|binutils|clang|compiler-rt|"
    r"cuda-(?!python|bindings|core)|font-ttf|fonts-conda|gcc|gfortran|gxx|gst-|kernel-headers|ld_impl|ld64|ldid|llvm-|"
    r"m2-|m2w64|msys2|mysql-(common|libs)|qt-|qt6-|sysroot|tensorflow-base|vs20|xorg-"
)
_OWN = """
alsa-lib anaconda aom arpack arrow-cpp attr bash blas blosc boost boost-cpp bzip2 c-ares c-blosc2 c-compiler
ca-certificates cairo cctools cfitsio charls cmdstan compilers conda conda-build conda-pack coreutils cpuonly cuda
cudatoolkit cudatoolkit-dev cudnn curl cxx-compiler cyrus-sasl dav1d dbus double-conversion eigen elfutils expat
ffmpeg fftw fontconfig fortran-compiler freeglut freetype freexl fribidi gdk-pixbuf geos geotiff gettext gflags gh
ghostscript giflib git git-lfs glib glib-tools glog glpk gmp gnutls go google-cloud-sdk graphite2 grpc-cpp gsl
gstreamer gtest gtk2 gtk3 harfbuzz hdf4 hdf5 htop icc_rt icu imagemagick intel-gpu-ocl-icd-system isa-l jasper
java-jdk jpeg jq json-c julia jxrlib kealib keyutils khronos-opencl-icd-loader krb5 lame lcms2 lerc lz4-c lzo magma
make mamba maven menuinst metis micromamba mpc mpfr mpi mpich mumps mysql nccl ncurses nettle nlohmann_json nodejs
nomkl nspr nss ocl-icd openblas openblas-devel openexr openh264 openjdk openjpeg openldap openmpi openssl orc
p11-kit p7zip pandoc pango parallel parquet-cpp patch pcre pcre2 perl pixman pkg-config plotly-orca poppler
poppler-data portaudio postgresql proj proj4 pthread-stubs python.app python_abi pytorch-cuda pytorch-mutex qhull
qt r r-base rapidjson re2 readline ruby rust s2n scotch screen sed snappy spdlog sqlite suitesparse svt-av1 tar tcl
texlive-core thrift-cpp tini tk tmux tree tzcode ucrt unixodbc unzip utf8proc vc vc14_runtime vim wayland wget
winpty x264 x265 xerces-c xz yaml yaml-cpp zeromq zfp zip zlib zlib-ng zstd
"""
_NAMES = frozenset(_OWN.split())


def is_condas_own(name: str) -> bool:
    """Whether conda's package `name` (in lower case) is a program, a C library or the like.

    Somebody may well have put a package of that name on PyPI; it is another one.
    """
    return name in _NAMES or (_FAMILIES.match(name) is not None and name not in _LIBRARIES_OF_PYTHON)

"""Modules that a Python file may import and still stand on its own: the standard library, and what everybody knows.

phi-1 (Gunasekar et al. 2023, section 2.1) complains of code that "depends on other modules or files that are external
to the snippet". A reader knows ``math`` and ``numpy``; ``from .models import Item`` and ``import mycompany`` are what
is meant. Names are top-level modules. The standard library is that of Python 3.11 to 3.14 and what 3.12 and 3.13 took
out, written down here since the result must not depend on the running interpreter.
"""

from __future__ import annotations

from typing import Final

import numpy as np

__all__ = ["GUI_MODULES", "KNOWN_MODULES", "STANDARD_MODULES", "module_hash", "module_hashes"]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


STANDARD_MODULES: Final = _names(
    """
    __future__ __main__ _thread abc aifc annotationlib argparse array ast asynchat asyncio asyncore atexit
    audioop base64 bdb binascii bisect builtins bz2 cProfile calendar cgi cgitb chunk cmath cmd code codecs
    codeop collections colorsys compileall compression concurrent configparser contextlib contextvars copy
    copyreg crypt csv ctypes curses dataclasses datetime dbm decimal difflib dis distutils doctest email
    encodings ensurepip enum errno faulthandler fcntl filecmp fileinput fnmatch fractions ftplib functools gc
    genericpath getopt getpass gettext glob graphlib grp gzip hashlib heapq hmac html http imaplib imghdr imp
    importlib inspect io ipaddress itertools json keyword lib2to3 linecache locale logging lzma mailbox mailcap
    marshal math mimetypes mmap modulefinder msilib msvcrt multiprocessing netrc nis nntplib nt ntpath
    nturl2path numbers opcode operator optparse os ossaudiodev pathlib pdb pickle pickletools pipes pkgutil
    platform plistlib poplib posix posixpath pprint profile pstats pty pwd py_compile pyclbr pydoc pydoc_data
    pyexpat queue quopri random re readline reprlib resource rlcompleter runpy sched secrets select selectors
    shelve shlex shutil signal site smtpd smtplib sndhdr socket socketserver spwd sqlite3 sre_compile
    sre_constants sre_parse ssl stat statistics string stringprep struct subprocess sunau symtable sys sysconfig
    syslog tabnanny tarfile telnetlib tempfile termios test textwrap threading time timeit tkinter token
    tokenize tomllib trace traceback tracemalloc tty turtle turtledemo types typing unicodedata unittest urllib
    uu uuid venv warnings wave weakref webbrowser winreg winsound wsgiref xdrlib xml xmlrpc zipapp zipfile
    zipimport zlib zoneinfo
    """
)
"""The standard library's top-level modules."""

KNOWN_MODULES: Final = _names(
    """
    IPython PIL PyPDF2 absl aiofiles aiohttp altair anyio arrow asyncpg attr attrs babel bcrypt bidict binarytree black
    bokeh boto3 botocore bottle bs4 cachetools catboost celery certifi chardet click cloudpickle colorama coverage
    cryptography cupy cv2 cvxpy cython cytoolz dash dask dateutil datasets deap django docker docopt docutils duckdb
    faker falcon fastapi fire flask fsspec gensim geopandas google gradio graphviz grpc gym gymnasium h5py httpx
    huggingface_hub hypothesis igraph imageio ipywidgets jax jaxlib jinja2 joblib jose jsonschema jwt keras
    librosa lightgbm llvmlite loguru lxml mako markdown markupsafe marshmallow matplotlib memory_profiler mock
    more_itertools motor mpl_toolkits mpmath msgpack multidict mypy mysql networkx nltk nose numba numexpr numpy
    onnx openai openpyxl orjson packaging pandas paramiko passlib past patsy peewee pendulum pexpect pika plotly polars
    prettytable prometheus_client prompt_toolkit psutil psycopg2 pulp pyarrow pycuda pydantic pydot pygame pygments
    pylab pylint pymc pymongo pymysql pyparsing pytest pytz pywt pyximport rdflib redis regex requests retry rich
    ruamel sanic scipy scrapy seaborn selenium sentencepiece serial setuptools shapely simpy six skimage sklearn
    sniffio sortedcontainers soundfile spacy sqlalchemy sqlmodel starlette statsmodels streamlit structlog sympy
    tabulate tenacity tensorboard tensorflow termcolor textblob theano tiktoken tokenizers toml tomli toolz torch
    torchaudio torchvision tornado tqdm traitlets transformers trio twisted typer typing_extensions tzlocal ujson
    urllib3 uvicorn uvloop wandb werkzeug wrapt xarray xgboost xlrd xlsxwriter yaml yarl zmq zstandard
    """
)
"""Packages of others that many files use, by the name that is imported; from PyPI's most downloaded and textbooks."""

GUI_MODULES: Final = _names(
    """
    PyQt4 PyQt5 PyQt6 PySide PySide2 PySide6 PySimpleGUI Tkinter customtkinter dearpygui easygui gi gtk guizero kivy
    kivymd nicegui pyforms pyglet qtpy remi tkinter ttkbootstrap wx
    """
)
"""Toolkits for graphical interfaces."""


def module_hash(name: str) -> int:
    """FNV-1a of a name's UTF-8 bytes, 64 bits, as the kernels compute it."""
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def module_hashes(names: frozenset[str]) -> np.ndarray:
    """Sorted uint64 hashes of names."""
    return np.array(sorted(map(module_hash, names)), np.uint64)

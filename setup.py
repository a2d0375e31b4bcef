"""What setup.cfg cannot say: all packages of netml are found, and two folders of the clone travel inside it."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["netml", "netml.*"]), "netml.mod", "netml.models"])

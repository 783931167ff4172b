"""Datasets in the formats that other trainers read, each written from Arrow columns by a module of its own."""

"""Batch classification: many images, many workers, one Parquet file; on one machine or on Ray.

The driver lists the images, cuts the list into parts and hands each part to a worker. A part is a
whole number of batches, and both depend on the list alone: a batch holds the same images whatever
the number of workers, their kind, and the order in which they finish. That is what makes local
processes, Ray and a resumed run give the same bits.

A worker is one process with one thread and one self-tested `Classifier` (`worker.py`). Two pools
start workers and carry parts to them: processes of this machine (`local.py`), and Ray actors
(`ray_pool.py`). Everything else is shared: retries and the search for an image that kills its
worker (`coordinator.py`), the part files and their manifest (`partial.py`), the schema
(`output.py`).

Ray's actors are used directly rather than through Ray Data. Ray Data forms its batches from
blocks, so that their boundaries, and with some backends the bits, depend on the blocks; it retries
a part that kills its worker for ever, by default, and cannot narrow it down; and it keeps
results in its object store, so that a killed driver starts from nothing.
"""

// Package mpi lets the ranks of a run speak over MPI. Join returns the ranks.Group that a launcher started this
// process as part of. Without the build tag mpi, Join returns the group of one process.
//
// The binding is compiled with the build tag mpi and an MPI compiler, CC=mpicc, whose flags find mpi.h and the library
// of any MPI: `make mpi`. It is tested with Open MPI. Without the tag, Join returns an error that says what to build
// where a launcher started more than one process.
//
// Errors are one line with the rank and a hint, and mean that the group is lost.
package mpi

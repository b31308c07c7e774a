// Package mpi lets the ranks of a run speak over MPI: Join returns the ranks.Group that a launcher started this process
// as part of.
//
// The binding is compiled with the build tag mpi and an MPI compiler, CC=mpicc, whose flags find mpi.h and the library
// of any MPI: `make mpi`. It is tested with Open MPI. Without the tag, Join returns the group of one process, or an
// error that says what to build where a launcher started more.
//
// Errors are one line with the rank and a hint, and mean that the group is lost. Imports train/ranks for the interface;
// imported by cmd.
package mpi

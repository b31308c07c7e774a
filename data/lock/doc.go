// Package lock keeps two processes from writing the same files. The operating system holds the lock, so it ends
// with the process, in whatever way that ends. A process that finds the lock held learns which process holds it.
package lock

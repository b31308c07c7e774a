//go:build unix

package train

import "golang.org/x/sys/unix"

// writable reports why this process may not make files in dir: permissions, or a file system that is mounted read-only.
func writable(dir string) error { return unix.Access(dir, unix.W_OK|unix.X_OK) }

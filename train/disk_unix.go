//go:build linux || darwin || freebsd

package train

import "golang.org/x/sys/unix"

// writable reports why this process may not make files in dir: permissions, or a file system that is mounted read-only.
func writable(dir string) error { return unix.Access(dir, unix.W_OK|unix.X_OK) }

// diskFree returns the bytes free for this process on dir's file system. Some network file systems do not say.
func diskFree(dir string) (free uint64, known bool) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil || s.Blocks == 0 {
		return 0, false
	}
	return uint64(s.Bavail) * uint64(s.Bsize), true
}

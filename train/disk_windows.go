package train

import "golang.org/x/sys/windows"

// writable has no answer here: creating a file will show.
func writable(string) error { return nil }

// diskFree returns the bytes free for this process on dir's volume.
func diskFree(dir string) (free uint64, known bool) {
	path, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, false
	}
	err = windows.GetDiskFreeSpaceEx(path, &free, nil, nil)
	return free, err == nil
}

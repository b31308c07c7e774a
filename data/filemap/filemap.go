package filemap

import (
	"errors"
	"io"
	"os"
	"runtime/debug"
	"syscall"

	"github.com/edsrzf/mmap-go"
)

// Map is a file's content. It outlives the file's descriptor.
type Map struct {
	Bytes  []byte // not to be written; dead after Close
	mapped mmap.MMap
}

// mapFile is replaced by tests.
var mapFile = func(f *os.File) (mmap.MMap, error) { return mmap.Map(f, mmap.RDONLY, 0) }

// Open returns the content of f, all of it, wherever f's position is. A file that another process shortens while it is
// mapped raises a memory fault where it is read: see [Guard].
func Open(f *os.File) (*Map, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() == 0 {
		return &Map{}, nil // no system maps nothing
	}
	mapped, err := mapFile(f)
	if err == nil {
		return &Map{Bytes: mapped, mapped: mapped}, nil
	}
	if !refused(err) {
		return nil, err
	}
	content := make([]byte, info.Size())
	if _, err := io.ReadFull(io.NewSectionReader(f, 0, info.Size()), content); err != nil {
		return nil, err
	}
	return &Map{Bytes: content}, nil
}

// Guard runs f, which reads mapped memory. Where the file was cut short meanwhile, or its disk fails, the processor
// faults: Guard makes that an error, which would else end the process. It holds for the goroutine that calls it.
func Guard(f func()) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		r := recover()
		if _, fault := r.(interface{ Addr() uintptr }); fault {
			err = ErrFault
		} else if r != nil {
			panic(r)
		}
	}()
	f()
	return nil
}

// ErrFault is the error of mapped memory that cannot be read.
var ErrFault = errors.New("the file was cut short while it was read, or its disk fails")

// refused reports that a file system maps no files (network and FUSE mounts), which does not keep them from being read.
func refused(err error) bool {
	return errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported)
}

// Close releases the content. It may be called twice, and on nil.
func (m *Map) Close() error {
	if m == nil {
		return nil
	}
	mapped := m.mapped
	m.Bytes, m.mapped = nil, nil
	if mapped == nil {
		return nil
	}
	return mapped.Unmap()
}

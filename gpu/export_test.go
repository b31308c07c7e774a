package gpu

// AdapterForTest describes an adapter that is not there, an NVIDIA one or not.
func AdapterForTest(index int, name, backend, kind string, nvidia bool) AdapterInfo {
	a := AdapterInfo{Index: index, Name: name, Backend: backend, Type: kind, Limits: DefaultLimits()}
	if nvidia {
		a.Vendor = vendorNVIDIA
	}
	return a
}

// What depends on the operating system or the backend.
var DriverHint, PipelineHint = driverHint, pipelineHint

// WithoutTimestamps makes Profile use the wall clock, as on devices that have no timestamps, until undo is called.
func (d *Device) WithoutTimestamps() (undo func()) {
	old := d.timestamps
	d.timestamps = false
	return func() { d.timestamps = old }
}

// CompileAtOnce makes the device make n pipelines at once, until undo is called.
func (d *Device) CompileAtOnce(n int) (undo func()) {
	old := d.compilers
	d.compilers = n
	return func() { d.compilers = old }
}

// DriverBytes adds up what the driver says of every buffer that holds tensors.
func (d *Device) DriverBytes() (n uint64) {
	for b := range d.buffers {
		n += b.raw.GetSize()
	}
	return n
}

// Encode encodes the program's dispatches and drops them.
func (p *Program) Encode() error {
	enc, err := p.dev.dev.NewEncoder()
	if err != nil {
		return err
	}
	defer enc.Release()
	return p.encode(enc, 0, len(p.entries))
}

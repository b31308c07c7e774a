//go:build arm64 && !darwin

package wgpu

// encoderTimestamps: the linux and windows arm64 libraries are wgpu 22, which needs a feature that the binding can't
// name.
const encoderTimestamps = false

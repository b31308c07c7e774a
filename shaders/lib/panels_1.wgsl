// panels_1: the packed slice of a in 1 window of 64 KiB, what a uniform binding holds. Where q is constant, so is the choice.
@group(0) @binding(6) var<uniform> panel0: array<vec4<f32>, 4096>;

fn panel(q: u32, r: u32) -> vec4<f32> {
    return panel0[q * WG + r];
}

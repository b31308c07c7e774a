// panels_4: the packed slice of a in 4 windows of 64 KiB, what a uniform binding holds. Where q is constant, so is the choice.
@group(0) @binding(6) var<uniform> panel0: array<vec4<f32>, 4096>;
@group(0) @binding(7) var<uniform> panel1: array<vec4<f32>, 4096>;
@group(0) @binding(8) var<uniform> panel2: array<vec4<f32>, 4096>;
@group(0) @binding(9) var<uniform> panel3: array<vec4<f32>, 4096>;

fn panel(q: u32, r: u32) -> vec4<f32> {
    let at = q % QUADS * WG + r;
    if q < QUADS { return panel0[at]; }
    if q < 2u * QUADS { return panel1[at]; }
    if q < 3u * QUADS { return panel2[at]; }
    return panel3[at];
}

// panels_8: the packed slice of a in 8 windows of 64 KiB, what a uniform binding holds. Where q is constant, so is the choice.
@group(0) @binding(6) var<uniform> panel0: array<vec4<f32>, 4096>;
@group(0) @binding(7) var<uniform> panel1: array<vec4<f32>, 4096>;
@group(0) @binding(8) var<uniform> panel2: array<vec4<f32>, 4096>;
@group(0) @binding(9) var<uniform> panel3: array<vec4<f32>, 4096>;
@group(0) @binding(10) var<uniform> panel4: array<vec4<f32>, 4096>;
@group(0) @binding(11) var<uniform> panel5: array<vec4<f32>, 4096>;
@group(0) @binding(12) var<uniform> panel6: array<vec4<f32>, 4096>;
@group(0) @binding(13) var<uniform> panel7: array<vec4<f32>, 4096>;

fn panel(q: u32, r: u32) -> vec4<f32> {
    let at = q % QUADS * WG + r;
    if q < QUADS { return panel0[at]; }
    if q < 2u * QUADS { return panel1[at]; }
    if q < 3u * QUADS { return panel2[at]; }
    if q < 4u * QUADS { return panel3[at]; }
    if q < 5u * QUADS { return panel4[at]; }
    if q < 6u * QUADS { return panel5[at]; }
    if q < 7u * QUADS { return panel6[at]; }
    return panel7[at];
}

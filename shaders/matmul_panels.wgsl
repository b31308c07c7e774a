// matmul_panels: one slice of the sums of one block of a product, for lavapipe. For WG rows r from ROW on, TC columns c
// per group and k in [DEPTH, DEPTH+KS):
//
//   sums[r,c] (+)= sum_k a[r,k] * b[k,c];  after the last slice epilogue(r, c, sums[r,c])
//
// in: panel0, … (KS/4, WG) quads along k, the slice of a as matmul_panel_* packs it
// in: b (SUMS,COLS), as it is or transposed: see the fragments b_*
// scratch: sums (WG, WIDE) float32, of no use where one slice is FIRST and LAST
// out, declared by the epilogue: (ROWS,STRIDE)
// dispatch: x: ceil(columns / TC) groups, at most WIDE/TC, from column FROM on.  STRIDE % 4 == 0, COL % 4 == 0.
//
// On lavapipe a load is a loop over the lanes, of about 40 instructions per lane and quad, but for two: workgroup
// memory at a constant place outside of loops and branches, which becomes the multiply's operand, and a uniform buffer,
// which takes a third. So there is no loop here: the tile of b is at constant places, and the slice of a in windows of
// a uniform buffer.
//
// uses: store b panels epilogue addends

const WG: u32 = 256u; // spec: threads, the rows of a block: 128, 256 or 512
const TC4: u32 = 8u; // spec: quads of columns
const KS4: u32 = 32u; // spec: quads of addends
const FIRST: bool = true; // spec: the sums begin here
const LAST: bool = true; // spec: the sums end here
const TC: u32 = TC4 * 4u;
const TILE: u32 = TC * KS4;
const WIDE4: u32 = 200u;
const QUADS: u32 = 4096u / WG; // of addends in a window

struct Params { ROWS: u32, COLS: u32, SUMS: u32, STRIDE: u32, COL: u32, ROW: u32, FROM: u32, DEPTH: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> b: array<Quad>;
@group(0) @binding(2) var<storage, read_write> sums: array<vec4<f32>>;

var<workgroup> tile: array<vec4<f32>, TILE>; // (KS, TC4)

// add is inlined with a constant q; a function, because naga takes time by the square of a function's length.
fn add(q: u32, a: vec4<f32>, acc: ptr<function, array<vec4<f32>, TC4>>) {
    for (var c = 0u; c < TC4; c++) { // unroll
        (*acc)[c] = fma(vec4<f32>(a.w), tile[(q * 4u + 3u) * TC4 + c],
            fma(vec4<f32>(a.z), tile[(q * 4u + 2u) * TC4 + c], fma(vec4<f32>(a.y), tile[(q * 4u + 1u) * TC4 + c],
            fma(vec4<f32>(a.x), tile[q * 4u * TC4 + c], (*acc)[c]))));
    }
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_id) lid: vec3<u32>) {
    let col = p.FROM + wid.x * TC;
    for (var i = lid.x; i < TC4 * KS4; i += WG) {
        let place = b_place(i, TC4, KS4);
        let n = block_b(col / 4u + place.x, p.DEPTH / 4u + place.y);
        let to = place.y * 4u * TC4 + place.x;
        tile[to] = n.k0;
        tile[to + TC4] = n.k1;
        tile[to + 2u * TC4] = n.k2;
        tile[to + 3u * TC4] = n.k3;
    }
    workgroupBarrier();
    let at = lid.x * WIDE4 + wid.x * TC4;
    var acc: array<vec4<f32>, TC4>;
    add_slice(lid.x, &acc);
    if !FIRST { // added up by slices: the error grows with the root of KS + SUMS/KS, not of SUMS
        for (var c = 0u; c < TC4; c++) { // unroll
            acc[c] += sums[at + c];
        }
    }
    if !LAST {
        for (var c = 0u; c < TC4; c++) { // unroll
            sums[at + c] = acc[c];
        }
    } else if p.ROW + lid.x < p.ROWS {
        for (var c = 0u; c < TC4; c++) { // unroll
            if col + c * 4u < p.COLS {
                epilogue(((p.ROW + lid.x) * p.STRIDE + p.COL + col) / 4u + c, col / 4u + c, acc[c]);
            }
        }
    }
}

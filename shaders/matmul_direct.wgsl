// matmul_direct: a product of matrices without workgroup memory, finished by an epilogue (bias, GELU, residual, …).
//
//   epilogue(r, c, sum_k a[r,k] * b[k,c])
//
// in: a (ROWS,SUMS)  b (SUMS,COLS), as they are or transposed: see the fragments a_* and b_*
// out, declared by the epilogue: rows of STRIDE, columns [COL, COL+COLS)
// dispatch: x: ceil(COLS / (WX*TN)) groups, y: ceil(ROWS / (WY*TM)).  COL % 4 == 0, STRIDE % 4 == 0.
//
// Each thread keeps TM x TN sums and reads blocks of four rows or columns by four addends, so that each sum is loaded
// and stored once for four multiply-adds. On software Vulkan a load costs as much as 9 multiply-adds, so only large
// register tiles help there. Columns are stored in quads, so STRIDE leaves room for COLS rounded up to 4.
//
// uses: store a b epilogue addends

const TM: u32 = 4u; // spec: rows a thread, 1, 2 or a multiple of 4; of a_columns a multiple of 4
const TN4: u32 = 1u; // spec: quads of columns a thread
const WX: u32 = 16u; // spec: threads along columns
const WY: u32 = 4u; // spec: threads along rows
const SUMS: u32 = TM * TN4;

struct Params { ROWS: u32, COLS: u32, SUMS: u32, ASTRIDE: u32, ACOL: u32, STRIDE: u32, COL: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<Quad>;
@group(0) @binding(2) var<storage, read> b: array<Quad>;

@compute @workgroup_size(WX, WY)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_id) lid: vec3<u32>) {
    let row = (wid.y * WY + lid.y) * TM;
    let col4 = (wid.x * WX + lid.x) * TN4;
    // Values of all threads are read before any branch: lavapipe reads them per lane inside of one.
    let quads = (p.COLS + 3u) / 4u;
    let end = (p.SUMS + 3u) / 4u;
    let past = p.ROWS;
    let stride = p.STRIDE / 4u;
    let first = p.COL / 4u + col4;
    var rows: array<vec3<u32>, A_BLOCKS>;
    var cols: array<vec4<u32>, TN4>;
    for (var i = 0u; i < A_BLOCKS; i++) { // unroll
        rows[i] = a_at(row, i);
    }
    for (var j = 0u; j < TN4; j++) { // unroll
        cols[j] = b_at(col4 + j);
    }
    if row >= past || col4 >= quads { return; }
    var acc: array<vec4<f32>, SUMS>;
    for (var q = 0u; q < end; q++) {
        var n: array<Addends, TN4>;
        for (var j = 0u; j < TN4; j++) { // unroll
            n[j] = load_b(cols[j], q);
        }
        for (var i = 0u; i < A_BLOCKS; i++) { // unroll
            let m = load_a(rows[i], q);
            for (var r = 0u; r < A_ROWS; r++) { // unroll
                for (var j = 0u; j < TN4; j++) { // unroll
                    acc[(i * A_ROWS + r) * TN4 + j] = fma(vec4<f32>(m.k3[r]), n[j].k3,
                        fma(vec4<f32>(m.k2[r]), n[j].k2, fma(vec4<f32>(m.k1[r]), n[j].k1,
                        fma(vec4<f32>(m.k0[r]), n[j].k0, acc[(i * A_ROWS + r) * TN4 + j]))));
                }
            }
        }
    }
    for (var i = 0u; i < TM; i++) { // unroll
        if row + i < past {
            let at = (row + i) * stride + first;
            for (var j = 0u; j < TN4; j++) { // unroll
                if col4 + j < quads {
                    epilogue(at + j, col4 + j, acc[i * TN4 + j]);
                }
            }
        }
    }
}

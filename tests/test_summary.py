from bench.layers import (
    BatchNorm,
    Blocks,
    Branch,
    Conv,
    Dense,
    Dropout,
    GlobalPool,
    LayerNorm,
    MaxPool,
    Residual,
)
from bench.summary import summary, table


def test_table():
    net = (
        Conv(4),
        Branch(((Conv(2, 1, 2), BatchNorm()), (MaxPool(3, 2, "SAME"),))),
        GlobalPool(),
        Dropout(0.25),
        Dense(1000),
    )
    rows = summary(net, (28, 28, 1))
    assert [row.number for row in rows] == ["1", "2", "2.1.1", "2.1.2", "2.2.1", "3", "4", "5"]
    assert rows[1][2:] == ((14, 14, 6), 0, 0, 0)  # its parts count
    assert table(rows).splitlines() == [
        "       Layer                        Output shape  Parameters  MFLOP",
        "───────────────────────────────────────────────────────────────────",
        "1      Conv 4 3×3 SAME              28×28×4               40  0.056",
        "2      Branch                       14×14×6                0  0.000",
        "2.1.1  Conv 2 1×1 stride 2×2 SAME   14×14×2               10  0.003",
        "2.1.2  BatchNorm 0.9 1e-05          14×14×2                8  0.000",
        "2.2.1  MaxPool 3×3 stride 2×2 SAME  14×14×4                0  0.000",
        "3      GlobalPool average           6                      0  0.000",
        "4      Dropout 0.25                 6                      0  0.000",
        "5      Dense 1000                   1000               7,000  0.012",
        "───────────────────────────────────────────────────────────────────",
        "Total parameters: 7,058 (28.23 kB as float32)",
        "Trainable: 7,054 (28.22 kB)",
        "Non-trainable: 4 (0.02 kB)",
        "FLOPs per example: 71,584",
    ]


def test_rows_of_blocks_are_those_of_the_layers_in_a_row():
    one, two = (Dense(4), LayerNorm()), (Dense(3),)
    assert summary((Blocks((one, two)), Dense(2)), (5,)) == summary((*one, *two, Dense(2)), (5,))
    grouped, plain = (Residual((Blocks((one, one)),)), Residual(one * 2))
    assert summary((grouped,), (4,)) == summary((plain,), (4,))


def test_table_of_nothing_and_of_megabytes():
    assert "Total parameters: 0" in table(())
    rows = summary((Dense(1000, bias=False),), (1000,))
    assert "Total parameters: 1,000,000 (4.00 MB as float32)" in table(rows)

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from synthlift.errors import InputError
from synthlift.evaluation.panels import fold_panels, shared_panel
from synthlift.evaluation.predictions import Predictions, check, read, write


def frame() -> pd.DataFrame:
    rows: list[dict[str, Any]] = [
        {
            "arm": arm,
            "replicate": replicate,
            "image_id": f"i{image}",
            "label": ["cat", "dog"][image % 2],
            "probabilities": [0.7, 0.3] if arm == "real" else [0.2, 0.8],
        }
        for arm in ("real", "mixed@1")
        for replicate in (0, 1)
        for image in (3, 1, 0, 2)
    ]
    return pd.DataFrame(rows)


def checked(table: pd.DataFrame) -> Predictions:
    return check(pa.Table.from_pandas(table, preserve_index=False))


def test_defaults_class_names_and_dense_order(tmp_path: Path) -> None:
    predictions = checked(frame())
    assert predictions.classes == ("cat", "dog")
    write(predictions, tmp_path / "predictions.parquet")
    again = read(tmp_path / "predictions.parquet")
    assert again.classes == ("cat", "dog")
    panel = shared_panel(again.select(evaluation_set="test", variant="clean"))
    assert panel.image_ids.tolist() == ["i0", "i1", "i2", "i3"]
    assert panel.labels.tolist() == [0, 1, 0, 1]
    assert panel.probabilities["mixed@1"].shape == (2, 4, 2)
    assert panel.fits.tolist() == [-1, -1]
    np.testing.assert_allclose(panel.probabilities["real"][1, 2], [0.7, 0.3], rtol=1e-6)


def test_other_encodings_of_the_same_columns() -> None:
    plain = frame()
    table = pa.Table.from_pandas(plain, preserve_index=False)
    fixed = pa.FixedSizeListArray.from_arrays(
        pa.array(np.concatenate(plain["probabilities"].to_list())), 2
    )
    where = table.column_names.index("probabilities")
    table = table.set_column(where, "probabilities", fixed)
    for name in ("arm", "label"):
        where = table.column_names.index(name)
        table = table.set_column(where, name, table.column(name).dictionary_encode())
    assert check(table).table.equals(checked(plain).table)


def test_rows_in_any_order_give_the_same_panel() -> None:
    table = frame()
    table["probabilities"] = [[p, 1 - p] for p in np.linspace(0.1, 0.9, len(table))]
    one = shared_panel(checked(table))
    other = shared_panel(checked(table.sample(frac=1, random_state=3)), arms=["real", "mixed@1"])
    for arm in ("real", "mixed@1"):
        np.testing.assert_array_equal(one.probabilities[arm], other.probabilities[arm])


def spoil_missing(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns="image_id")


def spoil_sum(table: pd.DataFrame) -> pd.DataFrame:
    table["probabilities"] = [[70.0, 30.0]] * len(table)
    return table


def spoil_width(table: pd.DataFrame) -> pd.DataFrame:
    table["probabilities"] = [[0.5, 0.5]] * 3 + [[0.2, 0.3, 0.5]] + [[0.5, 0.5]] * 12
    return table


def spoil_twice(table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table, table.head(1)])


def spoil_label(table: pd.DataFrame) -> pd.DataFrame:
    table["label"] = [0, 1, 2, 0] * 4
    return table


def spoil_two_labels(table: pd.DataFrame) -> pd.DataFrame:
    table.at[0, "label"] = "cat"
    return table


def spoil_empty_cell(table: pd.DataFrame) -> pd.DataFrame:
    table.at[0, "arm"] = None
    return table


def spoil_type(table: pd.DataFrame) -> pd.DataFrame:
    table["replicate"] = "first"
    return table


def spoil_multiples(table: pd.DataFrame) -> pd.DataFrame:
    table["multiple"] = [0.0] * 8 + [1.0] * 4 + [2.0] * 4
    return table


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_missing, "no column 'image_id'"),
        (spoil_sum, "add up to 100"),
        (spoil_width, "row 3 has 3 probabilities"),
        (spoil_twice, "1 rows are given twice, for example arm=real, replicate=0"),
        (spoil_label, "label '2' belongs to no class"),
        (spoil_two_labels, "image 'i3' has more than one label"),
        (spoil_empty_cell, "column 'arm' has 1 empty cells"),
        (spoil_multiples, "arm 'mixed@1' has several multiples: 1, 2"),
        (spoil_type, "column 'replicate' is of type"),
    ],
)
def test_broken_tables_are_refused(
    spoil: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    with pytest.raises(InputError) as error:
        checked(spoil(frame()))
    assert message in error.value.given


def test_models_tested_on_different_images_are_refused() -> None:
    """The trap of two accuracies that no common test set can give."""
    table = frame()
    mixed = table["arm"] == "mixed@1"
    table.loc[mixed, "image_id"] = table.loc[mixed, "image_id"].str.replace("i3", "i9")
    with pytest.raises(InputError) as error:
        shared_panel(checked(table))
    assert "of which 1 differ from the 4 images" in error.value.given
    assert "same test images" in error.value.rule


def test_arms_without_common_replicates_and_unknown_arms_are_refused() -> None:
    table = frame()
    table.loc[table["arm"] == "real", "replicate"] += 7
    with pytest.raises(InputError, match="no replicate in common"):
        shared_panel(checked(table))
    with pytest.raises(InputError, match="arm 'mixd' has no predictions"):
        shared_panel(checked(frame()), arms=["mixd"])


def test_one_arm_with_more_replicates_is_cut_to_the_common_ones() -> None:
    table = frame()
    table = table[~((table["arm"] == "real") & (table["replicate"] == 1))]
    assert shared_panel(checked(table)).replicates.tolist() == [0]


def test_contradicting_fits_are_refused() -> None:
    table = frame()
    table["fit"] = (table["arm"] == "real").astype(int)
    with pytest.raises(InputError, match="different generator fits"):
        shared_panel(checked(table))


def test_folds_become_panels_of_their_own() -> None:
    table = frame()
    table["fold"] = table["replicate"]
    table["image_id"] += table["replicate"].astype(str)
    panels = fold_panels(checked(table))
    assert [panel.image_ids[0] for panel in panels] == ["i00", "i01"]
    assert all(panel.probabilities["real"].shape == (1, 4, 2) for panel in panels)


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_text("hello")
    with pytest.raises(InputError, match="cannot be read as parquet"):
        read(tmp_path / "x.parquet")
    with pytest.raises(InputError, match="does not exist"):
        read(tmp_path / "y.parquet")

"""A project from CSV to Parquet: an admin makes it, two annotators judge it, one by a link, the admin exports it."""

import io
import zipfile

import pytest
from playwright.sync_api import expect

from tests.site import running_site

pytestmark = pytest.mark.browser
CSV = "prompt,language,reply_1,reply_2\nIs the sea salty?,en,Yes.,No.\nIs it deep?,en,Yes.,No.\n"
TASK_OR_NONE = "#ranking, #nothing-to-rank"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with running_site(tmp_path_factory.mktemp("site"), CHAMSAE_TASK_STOCK="0") as site:
        yield site


def judge_all(page):
    """Ranks the first reply above the second until nothing is left; returns how many tasks."""
    judged = 0
    page.wait_for_url("**/rank/")
    expect(page.locator(TASK_OR_NONE)).to_be_visible()
    while page.locator("#ranking").count():
        address = page.locator("#ranking").get_attribute("action")
        page.keyboard.press("1")
        page.keyboard.press("2")
        page.keyboard.press("Control+Enter")
        if page.locator("[data-warn]:visible").count():  # that was quick
            page.keyboard.press("Control+Enter")
        expect(page.locator(f'#ranking:not([action="{address}"]), #nothing-to-rank')).to_be_visible()
        judged += 1
    return judged


def test_a_project_from_its_file_to_its_progress_and_its_export(visit, site):
    admin = visit(site, "admin")
    admin.go("/projects/new/")
    page = admin.page
    page.get_by_label("Title").fill("Marine biology")
    page.get_by_label("Key").fill("marine")
    page.get_by_label("Where replies come from").select_option("pasted")
    page.get_by_label("Judgements of each task").fill("2")
    page.get_by_label("People").fill("annotator,annotator,en")
    page.get_by_label("File of prompts").set_input_files(
        {"name": "prompts.csv", "mimeType": "text/csv", "buffer": b"prompt,reply_1,reply_2\nx,Same,Same\n"}
    )
    page.get_by_role("button", name="Make the project").click()
    expect(page.get_by_text("Line 2")).to_be_visible()
    admin.forgive("status of 400")
    page.get_by_label("File of prompts").set_input_files(
        {"name": "prompts.csv", "mimeType": "text/csv", "buffer": CSV.encode()}
    )
    page.get_by_role("button", name="Make the project").click()
    expect(page.get_by_role("heading", name="Marine biology")).to_be_visible()
    page.get_by_role("button", name="Create a link").click()
    address = page.locator("section:has(#links) input[readonly]").input_value()

    first = visit(site, "annotator")
    first.go("/projects/marine/")
    first.page.get_by_role("button", name="Judge this first").click()
    assert judge_all(first.page) == 2

    second = visit(site, "chatter")
    second.page.goto(address)
    second.page.get_by_role("button", name="Join the project").click()
    second.page.get_by_role("button", name="Judge this first").click()
    assert judge_all(second.page) == 2

    admin.go("/projects/marine/")
    expect(page.get_by_text("4 of 4", exact=True)).to_be_visible()
    expect(page.get_by_text("2, and 0 to do")).to_be_visible()
    expect(page.get_by_role("row", name="chatter 2")).to_be_visible()

    admin.go("/training/export/")
    page.get_by_label("Format").select_option("rankings")
    page.get_by_label("Kind of file").select_option("parquet")
    page.get_by_label("Project").select_option(label="Marine biology")
    with page.expect_download() as downloaded:
        page.get_by_role("main").get_by_role("button").click()
    rows = rows_of(downloaded.value.path())
    assert sorted(row["prompt"][-1]["content"] for row in rows) == ["Is it deep?"] * 2 + ["Is the sea salty?"] * 2
    assert {(row["project"], len({row["annotator"] for row in rows})) for row in rows} == {("marine", 2)}


def rows_of(archive):
    """Of all Parquet files of a downloaded data set, whichever side of the split they are of."""
    import pyarrow.parquet

    with zipfile.ZipFile(archive) as packed:
        names = [name for name in packed.namelist() if name.endswith(".parquet")]
        assert names
        return [
            row for name in names for row in pyarrow.parquet.read_table(io.BytesIO(packed.read(name))).to_pylist()
        ]

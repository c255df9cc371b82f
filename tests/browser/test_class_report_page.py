"""The class report in a browser: nothing nasty acts, nothing is fetched, and its tables sort."""

from collections.abc import Iterator

import pytest
from nasty_content import HTML
from playwright.sync_api import Browser, Locator, Page, expect
from small_class import SmallClass

from course.instructor.grading.record import Finding, Record

pytestmark = pytest.mark.xdist_group("browser")

ONE, TASK = "ex01_basic_implementation", "ex01_layer_norm"
SCRIPT = "<script>window.pwned=1</script>"
IMAGE = '"><img src=x onerror=window.pwned=1>'
SCORES = {"student-01": 3.0, "student-02": 10.0, SCRIPT: 7.0, IMAGE: 0.5}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report of a class with hostile names, and hostile words in all that is told of them."""
    small = SmallClass(tmp_path_factory.mktemp("class"))
    small.enter()
    words = list(HTML.values())
    for student, score in SCORES.items():
        finding = Finding(score, 10.0, score > 3, [*words, "x"], words, "".join(words))
        record = Record(remarks=words, flags=words, seconds=score, done=True)
        record.findings[TASK] = finding
        small.grade(student, ONE, {TASK: score}, record)
    return small.report().as_uri()


@pytest.fixture
def watched(page: Page, address: str) -> Iterator[Page]:
    """The report, open; it may ask for nothing, complain of nothing and open no dialog."""
    trouble: list[str] = []
    page.on("dialog", lambda dialog: (trouble.append(dialog.message), dialog.dismiss()))
    page.on("console", lambda message: trouble.append(message.text))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("request", lambda request: trouble.append(request.url))
    page.goto(address)
    assert trouble == [address]
    yield page
    assert trouble == [address]
    assert page.evaluate("window.pwned") is None


def scores(page: Page) -> Locator:
    return page.get_by_role("table", name="Points by student and exercise")


def students(page: Page) -> list[str]:
    return scores(page).locator("tbody th").all_inner_texts()


def test_names_and_words_are_shown_as_they_are_and_nothing_acts(watched: Page) -> None:
    assert students(watched) == sorted(SCORES)
    watched.evaluate(
        """async () => {
            for (const folded of document.querySelectorAll('details')) folded.open = true;
            for (const element of document.querySelectorAll('main *'))
                for (const type of ['mouseover', 'mouseenter', 'focus'])
                    element.dispatchEvent(new MouseEvent(type, {bubbles: true}));
            await new Promise(done => setTimeout(done, 500));
        }"""
    )


def test_the_policy_holds_alone(page: Page, address: str) -> None:
    """The second line of defence: what would get past the first does not run either."""
    page.goto(address)
    refused: list[str] = page.evaluate(
        """async () => {
            const refused = [];
            addEventListener('securitypolicyviolation', e => refused.push(e.effectiveDirective));
            const main = document.querySelector('main');
            main.insertAdjacentHTML('beforeend', '<p onclick="window.pwned=1" id="p">p</p>');
            main.insertAdjacentHTML('beforeend', '<b style="color: red" id="b">b</b>');
            const script = document.createElement('script');
            script.textContent = 'window.pwned = 1';
            main.append(script);
            document.getElementById('p').click();
            await new Promise(done => setTimeout(done, 500));
            return refused;
        }"""
    )
    assert page.evaluate("window.pwned") is None
    assert sorted(refused) == ["script-src-attr", "script-src-elem", "style-src-attr"]


def test_a_click_sorts_a_table_and_the_next_sorts_it_the_other_way(watched: Page) -> None:
    heading = scores(watched).locator("thead th").nth(1)
    expect(heading).not_to_have_attribute("aria-sort", "ascending")
    heading.get_by_role("button").click()
    assert students(watched) == [IMAGE, "student-01", SCRIPT, "student-02"]  # 10 behind 7
    expect(heading).to_have_attribute("aria-sort", "ascending")
    expect(watched.get_by_role("status")).to_have_text("Sorted by Total, ascending.")
    heading.get_by_role("button").click()
    assert students(watched) == ["student-02", SCRIPT, "student-01", IMAGE]
    expect(heading).to_have_attribute("aria-sort", "descending")
    assert scores(watched).locator("tfoot th").all_inner_texts() == [
        "Mean of those handed in",
        "Worth",
    ]


def test_the_keyboard_sorts_a_table_and_only_the_last_column_is_marked(watched: Page) -> None:
    by_name, by_total = scores(watched).locator("thead th").all()[:2]
    by_name.get_by_role("button").focus()
    watched.keyboard.press("Enter")
    expect(by_name).to_have_attribute("aria-sort", "ascending")
    watched.keyboard.press("Tab")
    expect(by_total.get_by_role("button")).to_be_focused()
    watched.keyboard.press("Space")
    expect(by_total).to_have_attribute("aria-sort", "ascending")
    assert scores(watched).locator("[aria-sort]").count() == 1
    assert students(watched)[-1] == "student-02"


def test_without_scripts_all_is_there_and_no_dead_button(browser: Browser, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    assert students(page) == sorted(SCORES)
    expect(page.get_by_role("button")).to_have_count(0)
    page.get_by_text("Exercise 1: Basic implementation").first.click()
    expect(page.get_by_role("table", name="Exercise 1: points")).to_be_visible()
    context.close()


def test_a_link_to_an_exercise_unfolds_it(watched: Page) -> None:
    details = watched.get_by_role("table", name="Exercise 1: points")
    expect(details).to_be_hidden()
    watched.get_by_role("link", name="Exercise 1", exact=True).first.click()
    expect(details).to_be_visible()


@pytest.mark.parametrize("width", [240, 500, 1280])
def test_only_wide_tables_scroll_sideways_and_not_the_page(watched: Page, width: int) -> None:
    watched.set_viewport_size({"width": width, "height": 900})
    assert watched.evaluate("document.documentElement.scrollWidth") <= width


def test_on_paper_everything_is_unfolded_and_black_on_white(watched: Page) -> None:
    watched.emulate_media(media="print", color_scheme="dark")
    expect(watched.get_by_role("table", name="Exercise 1: points")).to_be_visible()
    expect(watched.get_by_role("navigation")).to_be_hidden()
    expect(watched.locator("body")).to_have_css("background-color", "rgb(255, 255, 255)")
    expect(watched.locator("body")).to_have_css("color", "rgb(0, 0, 0)")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(watched: Page, scheme: str) -> None:
    watched.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    faint = watched.evaluate(FAINT)
    assert faint == []


# The texts whose contrast is less than what WCAG asks for, 4.5.
FAINT = """() => {
    for (const folded of document.querySelectorAll('details')) folded.open = true;
    const channels = colour => colour.match(/[\\d.]+/g).map(Number);
    const bright = colour => channels(colour).slice(0, 3)
        .map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = element => {
        if (element.matches('text.on, .legend text')) {
            let before = element.previousElementSibling;
            return getComputedStyle(before).fill;
        }
        for (let one = element; one; one = one.parentElement) {
            const colour = getComputedStyle(one).backgroundColor;
            if ((channels(colour)[3] ?? 1) > 0) return colour;
        }
    };
    const faint = [];
    for (const element of document.querySelectorAll('body *')) {
        const own = [...element.childNodes].some(n => n.nodeType == 3 && n.data.trim());
        if (!own || element.closest('script, .skip')) continue;
        const style = getComputedStyle(element);
        const colour = element.localName == 'text' ? style.fill : style.color;
        const [a, b] = [bright(colour), bright(behind(element))].sort((x, y) => y - x);
        const contrast = (a + 0.05) / (b + 0.05);
        if (contrast < 4.5) faint.push(`${element.localName}.${element.className.baseVal ??
            element.className} ${contrast.toFixed(1)}: ${element.textContent.slice(0, 40)}`);
    }
    return faint;
}"""

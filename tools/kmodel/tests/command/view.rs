//! `kmodel view`.

use crate::common::*;
use std::process::Command;

#[test]
fn the_page_holds_the_whole_model_and_asks_for_nothing_else() {
    let folder = Folder::new();
    for (name, bytes) in kmodel_samples::all() {
        let (model, page) = (folder.file(name, &bytes), folder.path("page.html"));
        printed(&["view", &model, "-o", &page]);
        let page = String::from_utf8(folder.read("page.html")).unwrap();
        let (_, data) = page.split_once("id=\"data\">").unwrap();
        let (data, _) = data.split_once("</script>").unwrap();
        let data: serde_json::Value = serde_json::from_str(data).unwrap();
        let info = json(&["info", &model, "--json"]);
        assert_eq!(
            data["nodes"].as_array().unwrap().len(),
            info["nodes"].as_array().unwrap().len()
        );
        let from = data["outputs"][0]["from"].as_array().unwrap();
        assert!(from[0].as_str().unwrap().starts_with("node-"), "{from:?}");
        for outside in ["src=", "href=", "@import", "fetch(", "url(http"] {
            assert!(!page.contains(outside), "{outside}");
        }
    }
}

#[test]
fn a_label_cannot_break_out_of_the_page() {
    let folder = Folder::new();
    let mut bytes = kmodel_samples::v3::image();
    let labels = "</script><script>alert(1)</script>";
    maix_kpu::model::metadata::Content { labels, ..Default::default() }
        .write(&mut |piece| bytes.extend(piece));
    printed(&["view", &folder.file("m.kmodel", &bytes), "-o", &folder.path("page.html")]);
    let page = String::from_utf8(folder.read("page.html")).unwrap();
    assert_eq!(page.matches("<script").count(), 2);
}

/// What a browser makes of a page, if there is a browser.
fn browsed(page: &str, part: &str) -> Option<String> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    for name in names {
        let output = Command::new(name)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000"])
            .args(["--dump-dom", &format!("file://{page}{part}")])
            .output();
        let Ok(output) = output else { continue };
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(shown.contains("</html>"), "{}", String::from_utf8_lossy(&output.stderr));
        return Some(shown);
    }
    eprintln!("skipped: no browser ({})", names.join(", "));
    None
}

#[test]
fn a_browser_draws_every_node_and_tells_about_one() {
    let folder = Folder::new();
    let (model, page) = (example("mnist/mnist_uint8.kmodel"), folder.path("page.html"));
    printed(&["view", &model, "-o", &page]);
    let Some(shown) = browsed(&page, "") else { return };
    let info = json(&["info", &model, "--json"]);
    let nodes = info["nodes"].as_array().unwrap();
    // The nodes, an input and an output; each node of this chain reads from the one before.
    assert!(shown.contains(&format!("data-drawn=\"{}\"", nodes.len() + 2)), "{shown}");
    assert_eq!(shown.matches("class=\"edge\"").count(), nodes.len() + 1);
    assert!(shown.contains("Slowest nodes") && shown.contains("fits: needs"), "{shown}");
    let shown = browsed(&page, "#node-2").unwrap();
    let sizes = |value: &serde_json::Value| {
        let sizes = value.as_array().unwrap().iter().map(|size| size.to_string());
        sizes.collect::<Vec<_>>().join("x")
    };
    assert!(shown.contains("<h2>Node 2</h2>"), "{shown}");
    for text in [nodes[2]["detail"].as_str().unwrap(), &sizes(&nodes[2]["output"]["shape"])] {
        assert!(
            shown.contains(&format!("<td>{text}")) || shown.contains(&format!("8 {text}</td>")),
            "{text}"
        );
    }
}

// Command pack writes the module, with the archive of this platform, as a file-based GOPROXY. Run `make pack-go`.
package main

import (
	"archive/zip"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const module = "github.com/clerk-auth/clerk-auth/bindings/go"

func main() {
	log.SetFlags(0)
	version := flag.String("version", "", "the version, such as v0.1.0")
	out := flag.String("out", "", "the folder of the GOPROXY")
	flag.Parse()
	if *version == "" || *out == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := pack(*version, *out); err != nil {
		log.Fatal(err)
	}
}

func pack(version, out string) error {
	files, err := moduleFiles()
	if err != nil {
		return err
	}
	folder := filepath.Join(out, filepath.FromSlash(module), "@v")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	info, err := json.Marshal(map[string]any{"Version": version, "Time": time.Now().UTC().Truncate(time.Second)})
	if err != nil {
		return err
	}
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{"list": []byte(version + "\n"), version + ".info": info, version + ".mod": mod} {
		if err := os.WriteFile(filepath.Join(folder, name), data, 0o644); err != nil {
			return err
		}
	}
	archive, err := os.Create(filepath.Join(folder, version+".zip"))
	if err != nil {
		return err
	}
	defer archive.Close()
	if err := writeZip(archive, module+"@"+version+"/", files); err != nil {
		return err
	}
	fmt.Println(archive.Name())
	return archive.Close()
}

// moduleFiles returns what git has of the module, and the archives and headers that lib/copy.sh has copied. Folders with a
// go.mod of their own are other modules.
func moduleFiles() ([]string, error) {
	tracked, err := exec.Command("git", "ls-files", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		return nil, err
	}
	built, err := filepath.Glob("lib/*/libclerk_auth.a")
	if err != nil {
		return nil, err
	}
	if len(built) == 0 {
		return nil, fmt.Errorf("lib has no archive: run lib/copy.sh")
	}
	files := append(strings.Fields(string(tracked)), built...)
	for _, archive := range built {
		files = append(files, filepath.Join(filepath.Dir(archive), "clerk_auth.h"))
	}
	var kept []string
	for _, file := range files {
		first, _, nested := strings.Cut(file, "/")
		_, err := os.Stat(filepath.Join(first, "go.mod"))
		if _, missing := os.Stat(file); missing == nil && (!nested || os.IsNotExist(err)) {
			kept = append(kept, file)
		}
	}
	for _, license := range []string{"LICENSE-APACHE", "LICENSE-MIT"} {
		kept = append(kept, filepath.Join("../..", license))
	}
	return kept, nil
}

func writeZip(to io.Writer, prefix string, files []string) error {
	archive := zip.NewWriter(to)
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		if info.Mode()&fs.ModeType != 0 {
			return fmt.Errorf("%s is no regular file", file)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		entry, err := archive.Create(prefix + strings.TrimPrefix(filepath.ToSlash(file), "../../"))
		if err != nil {
			return err
		}
		if _, err := entry.Write(data); err != nil {
			return err
		}
	}
	return archive.Close()
}

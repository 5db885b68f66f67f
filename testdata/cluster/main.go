// Command kubernetes is the five node and control-plane programs of Kubernetes in one static binary,
// for a one-node cluster that tests and the quickstart can build from Go modules alone.
//
// The component is the name the program is called by (a symbolic link such as kube-apiserver), or its first
// argument: `kubernetes kubelet --config=…`. Every flag after it belongs to the component, unchanged.
// scripts/cluster runs it; nothing here knows where its files are.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"

	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// usageError is the exit code for a call that names no component, as shells use it for wrong usage.
const usageError = 2

var components = map[string]func() *cobra.Command{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": controllermanager.NewControllerManagerCommand,
	"kube-proxy":              proxy.NewProxyCommand,
	"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
	"kubelet":                 func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) },
}

func main() {
	// The components read os.Args themselves in places (the kubelet parses its flags by hand), so a component given
	// as the first argument is moved to the place of the program's name.
	if _, ok := components[filepath.Base(os.Args[0])]; !ok && len(os.Args) > 1 {
		os.Args = os.Args[1:]
	}
	newCommand, ok := components[filepath.Base(os.Args[0])]
	if !ok {
		fmt.Fprintf(os.Stderr, "usage: kubernetes COMPONENT [FLAG]…, where COMPONENT is one of %s\n", strings.Join(names(), ", "))
		os.Exit(usageError)
	}
	os.Exit(cli.Run(newCommand()))
}

func names() []string {
	all := make([]string, 0, len(components))
	for name := range components {
		all = append(all, name)
	}
	sort.Strings(all)
	return all
}
